// Real processes and cgroups for the tests of what reads /proc; all gone with `close()`.
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const isRoot = process.getuid?.() === 0;

/** Where cgroup2 is mounted; undefined = nowhere. */
export function cgroupRoot(): string | undefined {
  return /^\S+ (\S+) cgroup2 /m.exec(readFileSync('/proc/mounts', 'utf8'))?.[1];
}

export class RealHost {
  readonly folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
  readonly #children: ChildProcess[] = [];
  readonly #cgroups: string[] = [];

  constructor() {
    chmodSync(this.folder, 0o755);
  }

  /** A file in a folder of its own. */
  file(name: string, text: string, mode = 0o644): string {
    const path = join(this.folder, name);
    writeFileSync(path, text, { mode });
    return path;
  }

  /** Below the cgroup2 root; made with its parents. */
  cgroup(path: string): string {
    const parts = path.split('/');
    for (let i = 1; i <= parts.length; i++) {
      const folder = join(cgroupRoot()!, ...parts.slice(0, i));
      if (this.#cgroups.includes(folder)) continue;
      mkdirSync(folder);
      this.#cgroups.push(folder);
    }
    return this.#cgroups.at(-1)!;
  }

  /** Runs until `close`; resolves with the pid when it has printed its first line. */
  async start(
    command: string,
    args: readonly string[],
    options: SpawnOptions & { cgroup?: string } = {},
  ): Promise<{ pid: number; line: string }> {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'], ...options });
    this.#children.push(child);
    let text = '';
    child.stdout!.setEncoding('utf8');
    for await (const chunk of child.stdout!.iterator({ destroyOnReturn: false })) {
      text += chunk;
      if (text.includes('\n')) break;
    }
    if (options.cgroup !== undefined) writeFileSync(join(options.cgroup, 'cgroup.procs'), String(child.pid));
    return { pid: child.pid!, line: text.split('\n')[0]! };
  }

  /** A TCP listener of Node; prints and returns its port. */
  async listen(
    script: string,
    options: SpawnOptions & { cgroup?: string; args?: readonly string[] } = {},
  ): Promise<{ pid: number; port: number }> {
    const { args = [], ...rest } = options;
    const started = await this.start(process.execPath, [script, ...args], rest);
    return { pid: started.pid, port: Number(started.line) };
  }

  async close(): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    for (const folder of this.#cgroups.reverse()) removeCgroup(folder);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export const LISTENER = `
import { createServer } from 'node:net';
const server = createServer((socket) => socket.end());
server.listen(0, process.env.ADDRESS ?? '127.0.0.1', () => console.log(server.address().port));
`;

/** The last task's exit may come a little after the parent hears of it. */
function removeCgroup(folder: string): void {
  for (let left = 1000; ; left--) {
    try {
      rmdirSync(folder);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || left === 0) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}
