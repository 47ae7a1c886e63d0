import { type ChildProcess, spawn } from 'node:child_process';
import { until } from './wait.ts';

export interface RunOptions {
  /** Cgroup directory to enter before the exec. */
  readonly cgroup?: string;
  readonly uid?: number;
  /** Path of a network namespace, "/run/netns/x". */
  readonly netns?: string;
  readonly limitMs?: number;
}

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Node's pipes are sockets: an outermost bash takes itself for a remote login, reads ~/.bashrc and forks what stands there. */
const NESTED = '2';

/** Starts a program in a cgroup, user and network namespace: the label is decided as for any service. */
export function start(argv: readonly string[], { cgroup, uid, netns }: RunOptions = {}): ChildProcess {
  const words = [...argv];
  if (uid !== undefined) words.unshift('setpriv', `--reuid=${uid}`, '--clear-groups', '--');
  if (netns !== undefined) words.unshift('nsenter', `--net=${netns}`, '--');
  if (cgroup !== undefined) words.unshift('sh', '-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', cgroup);
  return spawn(words[0]!, words.slice(1), { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, SHLVL: NESTED } });
}

/** Runs to the end. A program that does not end in time is killed: code null. */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const child = start(argv, options);
  child.stdin!.end();
  let stdout = '';
  let stderr = '';
  child.stdout!.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr!.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const timer = setTimeout(
    () => child.kill('SIGKILL'),
    (options.limitMs ?? 5_000) * Number(process.env.POSTERN_TEST_SLOW ?? 1),
  );
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, stdout, stderr });
    });
  });
}

/** Starts a server and waits until it has printed `ready`. */
export async function serve(argv: readonly string[], ready: RegExp, options: RunOptions = {}): Promise<ChildProcess> {
  const child = start(argv, options);
  let output = '';
  for (const stream of [child.stdout!, child.stderr!])
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  await until(`${argv[0]} prints ${ready}`, () => {
    if (child.exitCode !== null) throw new Error(`${argv.join(' ')} ended:\n${output}`);
    return ready.test(output);
  });
  return child;
}
