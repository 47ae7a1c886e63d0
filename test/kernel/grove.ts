/** The agent's labelling on a kernel of its own, without a server, and a tree of processes that grows as told. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  rmdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { CgroupTree } from '../../src/agent/cgroup-tree.ts';
import { Labels } from '../../src/agent/labels.ts';
import { createUserNames } from '../../src/agent/user-names.ts';
import type { MatchProgram } from '../../src/core/match-program.ts';
import { type OwnKernel, openKernel } from './own-kernel.ts';

export interface Sprout {
  readonly name: string;
  /** Name of a process that runs; absent = the root, which is in the own cgroup and nobody's. */
  readonly parent?: string;
  /** `fork`: no exec. `start`: where its parent is. `place`: put into `cgroup` by somebody without a label, before its exec. */
  readonly how: 'fork' | 'start' | 'place';
  /** One of the lab's programs. */
  readonly program?: string;
  readonly uid?: number;
  readonly args?: readonly string[];
  /** Below the own one. */
  readonly cgroup?: string;
}

export interface GroveLab extends OwnKernel {
  /** Folder of the programs; they are all the same file. */
  readonly folder: string;
  readonly tree: CgroupTree;
  readonly labels: () => Labels;
  readonly pid: (name: string) => number;
  readonly isUp: (name: string) => boolean;
  path(program: string): string;
  start(sprout: Sprout): Promise<void>;
  /** `move`, `again`, `bind` of attacks/grove.c. */
  tell(name: string, ...words: string[]): Promise<void>;
  stop(...names: string[]): Promise<void>;
  /** Identities that the kernel gives to the process and to the socket that it listens on; 0 = nobody. */
  who(name: string): { process: number; socket: number };
  apply(program: MatchProgram): void;
  /** What a new agent does at its start. `loads`: with new programs over the pinned maps, as after an upgrade. */
  restart(options?: { loads?: boolean }): void;
  removeCgroups(): void;
}

export async function openGrove(programs: readonly string[]): Promise<GroveLab> {
  const own = openKernel();
  const folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
  const users = createUserNames();
  const mount = own.mount;
  const made = new Set<string>();
  const running = new Map<string, { pid: number; port: number; fifo: number }>();
  let kernel = own.kernel;
  let tree = new CgroupTree(mount);
  let labels = new Labels(kernel, tree, users, own.cgroupPath);
  let root: ChildProcess | undefined;
  const path = (program: string): string => join(folder, 'bin', program);
  const destroy = async (): Promise<void> => {
    root?.kill('SIGKILL');
    for (const { fifo } of running.values()) closeSync(fifo);
    await own.destroy();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    chmodSync(folder, 0o755);
    execFileSync('mkdir', ['-m', '1777', join(folder, 'ways'), join(folder, 'bin')]);
    chmodSync(join(folder, 'bin'), 0o755);
    const source = join(import.meta.dirname, 'attacks/grove.c');
    execFileSync('cc', ['-O1', '-static', '-Wall', '-Werror', '-D_GNU_SOURCE', '-o', path('root'), source]);
    for (const name of programs) copyFileSync(path('root'), path(name));

    const heard = new Map<string, (words: string[]) => void>();
    const hear = (key: string): Promise<string[]> =>
      new Promise((resolve, reject) => {
        const limit = setTimeout(() => reject(new Error(`Waited in vain for "${key}"`)), 10_000);
        heard.set(key, (words) => {
          clearTimeout(limit);
          resolve(words);
        });
      });
    const enter = ['-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', own.cgroupDir];
    const up = hear('up root');
    root = spawn('sh', [...enter, path('root'), join(folder, 'ways'), 'root'], {
      stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
    });
    let rest = '';
    (root.stdio[3] as NodeJS.ReadableStream).setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        const words = line.split(' ');
        const key = `${words[0]} ${words[1]}`;
        heard.get(key)?.(words);
        heard.delete(key);
      }
    });
    const remember = ([, name, pid, port]: string[]): void => {
      const known = running.get(name!);
      const fifo = known?.fifo ?? openSync(join(folder, 'ways', name!), 'r+');
      running.set(name!, { pid: Number(pid), port: Number(port), fifo });
    };
    const say = (name: string, words: readonly string[]): void => {
      writeSync(running.get(name)!.fifo, `${words.join(' ')}\n`);
    };
    remember(await up);
    const cgroupDir = (name: string): string => {
      if (!made.has(name)) own.makeCgroup(name);
      made.add(name);
      return join(own.cgroupDir, name);
    };
    kernel.attachTracing();
    labels.relabel();
    kernel.attachSockets();

    const lab: GroveLab = {
      ...own,
      ...{ folder, path, destroy },
      get tree() {
        return tree;
      },
      labels: () => labels,
      pid: (name) => running.get(name)!.pid,
      isUp: (name) => running.has(name),
      start: async ({ name, parent = 'root', how, program, uid = 0, args = [], cgroup }) => {
        const isUp = hear(`up ${name}`);
        if (how === 'fork') say(parent, ['fork', name]);
        else {
          const waits = how === 'place' ? hear(`wait ${name}`) : undefined;
          say(parent, [how, name, path(program!), String(uid), ...args]);
          if (waits !== undefined) {
            const [, , pid] = await waits;
            writeFileSync(join(cgroupDir(cgroup!), 'cgroup.procs'), pid!);
            writeFileSync(join(folder, 'ways', name), 'go\n', { flag: 'r+' });
          }
        }
        remember(await isUp);
      },
      tell: async (name, ...words) => {
        const answer = hear(words[0] === 'move' ? `done ${name}` : `up ${name}`);
        say(name, words[0] === 'move' ? ['move', cgroupDir(words[1]!)] : words);
        const said = await answer;
        if (said[0] === 'up') remember(said);
      },
      stop: async (...names) => {
        const ended = names.map((name) => running.get(name)!);
        for (const { pid } of ended) process.kill(pid, 'SIGKILL');
        for (const [i, { pid, fifo }] of ended.entries()) {
          while (existsSync(`/proc/${pid}`)) await new Promise(setImmediate);
          closeSync(fifo);
          running.delete(names[i]!);
          rmSync(join(folder, 'ways', names[i]!));
        }
      },
      who: (name) => {
        const { pid, port } = running.get(name)!;
        const sockets = [...kernel.maps.local.entriesBatch()].filter(
          ([key]) => key.port === port && key.protocol === 6,
        );
        return {
          process: kernel.maps.proc.get(pid)?.identity ?? 0,
          socket: sockets.find(([, { tgid }]) => tgid === pid)?.[1].identity ?? 0,
        };
      },
      apply: (program) => labels.apply(program),
      restart: ({ loads = false } = {}) => {
        const { program } = labels;
        if (loads) kernel = own.reopen();
        tree = new CgroupTree(mount);
        labels = new Labels(kernel, tree, users, own.cgroupPath);
        labels.install(program);
        if (loads) kernel.attachTracing();
        labels.relabel();
        if (loads) kernel.attachSockets();
      },
      removeCgroups: () => {
        const folders = [...made].flatMap((name) =>
          name.split('/').map((_, i, parts) => parts.slice(0, i + 1).join('/')),
        );
        for (const name of [...new Set(folders)].sort().reverse()) rmdirSync(join(own.cgroupDir, name));
        made.clear();
      },
    };
    return lab;
  } catch (error) {
    await destroy();
    throw error;
  }
}

/** A cgroup of the lab as `match` names it. */
export function cgroupOf(lab: GroveLab, name: string): string {
  return `${relative(lab.mount, lab.cgroupDir)}/${name}`;
}
