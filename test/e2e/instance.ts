/** A Postern of its own for one test file: own cgroup, pins, state, sockets; real programs inside and beside it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
} from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { releasePacketGuards } from '../../src/agent/packet-guard.ts';
import { findCgroupMount } from '../../src/agent/preflight.ts';
import { detachKernel } from '../../src/datapath/kernel.ts';
import { freePort, until } from './wait.ts';

const ROOT = join(import.meta.dirname, '../..');

export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what it expects.
  readonly body: any;
}

export interface Instance {
  readonly name: string;
  readonly url: string;
  /** Path of the instance's cgroup below the cgroup2 root, as `match` names it. */
  readonly cgroupPath: string;
  readonly cgroupDir: string;
  readonly pinDir: string;
  readonly runDir: string;
  readonly stateDir: string;
  /** Of the agent: files that register workloads. Not made yet. */
  readonly workloadsDir: string;
  readonly pid: () => number;
  /** What the process printed. */
  readonly log: () => string;
  /** REST over the unix socket, as root; JSON in and out. */
  api(method: string, path: string, body?: unknown): Promise<Answer>;
  /** The agent's own REST. */
  agent(path: string): Promise<Answer>;
  /** PUTs a registration and waits until the agent has applied it. */
  workload(name: string, body: unknown): Promise<Answer>;
  /** Applies documents and waits until the kernel has them. */
  apply(...documents: unknown[]): Promise<Answer>;
  /** Waits until the agent has applied the newest revision. */
  settled(): Promise<void>;
  /** Makes a cgroup below the instance's. */
  makeCgroup(name: string): string;
  /** Flows of this instance that satisfy `wanted`, waiting for at least one. */
  flow(query: string, wanted: (flow: any) => boolean): Promise<any>;
  stop(signal?: NodeJS.Signals): Promise<void>;
  start(): Promise<void>;
  /** Stops, opens everything, removes every trace. */
  destroy(): Promise<void>;
}

/** `split`: server and agent are processes of their own; `start` and `stop` are the agent's. */
export async function startInstance({
  mode = 'standalone' as 'standalone' | 'split',
  /** Network namespace in which it runs: "/run/netns/x". */
  netns = undefined as string | undefined,
  /** Postern runs below its own cgroup root, as it does on a host. */
  inside = false,
  /** Folder below its cgroup that is the agent's --cgroup-root. */
  root = '',
  /** More of the environment. */
  env: more = {} as Readonly<Record<string, string>>,
} = {}): Promise<Instance> {
  const id = `${process.pid}-${randomBytes(3).toString('hex')}`;
  const mount = findCgroupMount();
  if (mount === undefined) throw new Error('no cgroup2 mounted');
  const cgroupPath = `postern-test-${id}`;
  const cgroupDir = join(mount, cgroupPath);
  const folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
  chmodSync(folder, 0o711); // PostgreSQL runs as another user
  const pinDir = `/sys/fs/bpf/postern-test-${id}`;
  const runDir = join(folder, 'run');
  const stateDir = join(folder, 'state');
  const port = await freePort();
  const logPath = join(folder, 'log');
  mkdirSync(join(cgroupDir, root), { recursive: true });
  const env = {
    ...process.env,
    POSTERN_LISTEN: `127.0.0.1:${port}`,
    POSTERN_STATE_DIR: stateDir,
    POSTERN_RUN_DIR: runDir,
    POSTERN_PIN_DIR: pinDir,
    POSTERN_CGROUP_ROOT: join(cgroupDir, root),
    POSTERN_HOST_NAME: 'host-a',
    POSTERN_WORKLOADS_DIR: join(folder, 'workloads.d'),
    POSTERN_HOST_LABELS: 'site=fra,tier=db',
    POSTERN_RESERVE_PORTS: 'off', // a setting of the whole machine
    ...more,
  };
  let child: ChildProcess | undefined;
  let server: ChildProcess | undefined;
  const launch = (command: string): ChildProcess => {
    const out = openSync(logPath, 'a');
    const enter = inside
      ? ['sh', '-c', 'mkdir -p "$0" && echo $$ > "$0/cgroup.procs" && exec "$@"', join(cgroupDir, 'postern')]
      : [];
    const there = netns === undefined ? [] : ['nsenter', `--net=${netns}`, '--'];
    const [program, ...words] = [...there, ...enter, join(ROOT, 'postern'), command];
    const launched = spawn(program!, words, { env, stdio: ['ignore', out, out] });
    closeSync(out);
    return launched;
  };
  const ended = (): boolean => child === undefined || child.exitCode !== null || child.signalCode !== null;

  const instance: Instance = {
    name: id,
    url: `http://127.0.0.1:${port}`,
    cgroupPath,
    cgroupDir,
    pinDir,
    runDir,
    stateDir,
    workloadsDir: join(folder, 'workloads.d'),
    pid: () => child!.pid!,
    log: () => readFileSync(logPath, 'utf8'),
    api: async (method, path, body) => {
      try {
        return await rest(join(runDir, 'server.sock'), method, path, body);
      } catch (error) {
        // who ended it, and why, is in its log, which goes with the instance
        throw new Error(
          `${method} ${path}: ${(error as Error).message}; ${how(child)}\n${readFileSync(logPath, 'utf8')}`,
        );
      }
    },
    agent: (path) => rest(join(runDir, 'agent.sock'), 'GET', path),
    workload: async (name, body) => {
      const answer = await instance.api('PUT', `/v1/workloads/${name}`, body);
      if (answer.status >= 300) throw new Error(`PUT workload ${name}: ${JSON.stringify(answer.body)}`);
      await instance.settled();
      return answer;
    },
    apply: async (...documents) => {
      const answer = await instance.api('POST', '/v1/apply', { apiVersion: 'v1', kind: 'List', items: documents });
      if (answer.status >= 300) throw new Error(`apply: ${JSON.stringify(answer.body)}`);
      await instance.settled();
      return answer;
    },
    settled: async () => {
      const wanted = (await instance.api('GET', '/v1/workloads?limit=1')).body.revision;
      await until(`revision ${wanted} is applied`, async () => {
        const { body } = await instance.agent('/v1/policy');
        return body.revision >= wanted;
      });
    },
    makeCgroup: (name) => {
      const path = join(cgroupDir, name);
      mkdirSync(path, { recursive: true });
      return path;
    },
    flow: async (query, wanted) => {
      let found: any;
      await until(`a flow ${query} ${wanted}`, async () => {
        found = (await instance.api('GET', `/v1/flows?limit=500&${query}`)).body.items.find(wanted);
        return found !== undefined;
      });
      return found;
    },
    start: async () => {
      if (mode === 'split') server ??= launch('server');
      child = launch(mode === 'split' ? 'agent' : mode);
      await until('the agent has applied something and is ready', async () => {
        if (ended()) throw new Error(`postern ended:\n${readFileSync(logPath, 'utf8')}`);
        if (!existsSync(join(runDir, 'agent.sock'))) return false;
        // after a kill -9 the old socket file is still there until the new agent replaces it
        const policy = await instance.agent('/v1/policy').catch(() => undefined);
        return policy !== undefined && policy.body.uid !== '';
      });
    },
    stop: async (signal = 'SIGTERM') => {
      if (ended()) return;
      child!.kill(signal);
      await until('postern has ended', () => ended());
    },
    destroy: async () => {
      await instance.stop();
      if (server !== undefined && server.exitCode === null) {
        const over = once(server, 'exit');
        server.kill();
        await over;
      }
      releasePacketGuards(pinDir);
      detachKernel(pinDir);
      await removeCgroup(cgroupDir);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  try {
    await instance.start();
  } catch (error) {
    await instance.destroy();
    throw error;
  }
  return instance;
}

function how(child: ChildProcess | undefined): string {
  if (child?.exitCode == null && child?.signalCode == null) return 'postern runs';
  return `postern ended: ${child.signalCode ?? `exit ${child.exitCode}`}`;
}

function rest(socketPath: string, method: string, path: string, body?: unknown): Promise<Answer> {
  const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
  const contentType = typeof body === 'string' ? 'application/yaml' : 'application/json';
  return new Promise((resolve, reject) => {
    const headers = { host: 'localhost', ...(text === undefined ? {} : { 'content-type': contentType }) };
    const req = request({ socketPath, method, path, headers, agent: false }, (response) => {
      let data = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => {
        data += chunk;
      });
      response.on('end', () => {
        const isJson = (response.headers['content-type'] ?? '').includes('json');
        resolve({ status: response.statusCode!, body: isJson ? JSON.parse(data) : data });
      });
    });
    req.on('error', reject);
    req.end(text);
  });
}

/** What is still inside is killed first. */
async function removeCgroup(dir: string): Promise<void> {
  if (!existsSync(dir)) return;
  for (const entry of readdirSync(dir, { withFileTypes: true }))
    if (entry.isDirectory()) await removeCgroup(join(dir, entry.name));
  const pids = (): number[] => readFileSync(join(dir, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
  for (const pid of pids())
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // ended meanwhile
    }
  // a task that has just ended keeps its cgroup busy for a moment
  await until(`cgroup ${dir} is gone`, () => {
    try {
      rmdirSync(dir);
      return true;
    } catch {
      return false;
    }
  });
}
