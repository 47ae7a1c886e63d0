/** A real Debian with systemd as PID 1, in namespaces, beside an agent that sees it as its host. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Instance } from '../e2e/instance.ts';
import { type Finished, run } from '../e2e/run-in.ts';
import { until } from '../e2e/wait.ts';

export interface Machine {
  /** PID 1's, as the host counts. */
  readonly pid: number;
  /** Its cgroup root as `match` and /proc/PID/cgroup of the host name it. */
  readonly cgroup: string;
  readonly netns: string;
  /** Runs a script as root, in no unit. */
  sh(script: string): Promise<Finished>;
  /** The same; throws when it fails. Returns what it printed. */
  must(script: string): Promise<string>;
  /** Writes a file with its folders; `mode` as chmod takes it. */
  write(path: string, text: string, mode?: string): Promise<void>;
  /** Types a command into a login over ssh. */
  ssh(user: string, command: string): Promise<Finished>;
  halt(): Promise<void>;
}

/** Ready when multi-user.target is reached and `oracle`, `admin` (who may sudo) and root log in by key. */
export async function bootMachine(tree: string, postern: Instance): Promise<Machine> {
  const cgroupDir = postern.makeCgroup('machine');
  const child = spawn('sh', [join(import.meta.dirname, 'boot.sh'), tree, cgroupDir], { stdio: 'pipe' });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  let pid = 0;
  const console = postern.makeCgroup('console');
  const sh = (script: string): Promise<Finished> => {
    const words = ['nsenter', `--target=${pid}`, '--all', 'env', '-i', ...ENVIRONMENT, 'bash', '-c', script];
    return run(words, { cgroup: console, limitMs: 60_000 });
  };
  const must = async (script: string): Promise<string> => {
    const { code, stdout, stderr } = await sh(script);
    if (code !== 0) throw new Error(`${script}: exit ${code}\n${stdout}${stderr}`);
    return stdout;
  };
  const machine: Machine = {
    get pid() {
      return pid;
    },
    cgroup: `/${postern.cgroupPath}/machine`,
    get netns() {
      return `/proc/${pid}/ns/net`;
    },
    sh,
    must,
    write: async (path, text, mode = '0644') => {
      const encoded = Buffer.from(text).toString('base64');
      await must(`mkdir -p $(dirname ${path}) && echo ${encoded} | base64 -d > ${path} && chmod ${mode} ${path}`);
    },
    ssh: (user, command) => {
      const quoted = `'${command.replaceAll("'", `'\\''`)}'`;
      return sh(`ssh -i /root/key -o StrictHostKeyChecking=no -o LogLevel=ERROR ${user}@127.0.0.1 ${quoted}`);
    },
    halt: async () => {
      if (!isOver(child)) {
        const over = once(child, 'exit');
        process.kill(child.pid!, 'SIGKILL'); // --kill-child ends PID 1, and the kernel all else
        await over;
      }
    },
  };
  await until('systemd is PID 1', () => {
    if (isOver(child)) throw new Error(`no boot:\n${output}`);
    pid = childOf(child.pid!) ?? 0;
    return pid !== 0 && readFileSync(`/proc/${pid}/comm`, 'utf8') === 'systemd\n';
  });
  await until(
    'multi-user.target is reached',
    async () => (await sh('systemctl is-active multi-user.target && ip link set lo up')).code === 0,
    60_000,
  );
  await must(LOGINS);
  return machine;
}

const ENVIRONMENT = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'LANG=C'];

const LOGINS = `
set -e
ssh-keygen -q -t ed25519 -N '' -f /root/key
for user in oracle admin; do useradd -m -s /bin/bash $user; done
echo 'admin ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/admin
for home in /root /home/oracle /home/admin; do
  mkdir -p $home/.ssh
  cp /root/key.pub $home/.ssh/authorized_keys
  chown -R $(stat -c %U $home) $home/.ssh
  chmod 700 $home/.ssh
done`;

function isOver(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function childOf(pid: number): number | undefined {
  const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
  return first === undefined ? undefined : Number(first);
}
