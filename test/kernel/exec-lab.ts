/** Real execs, and what the kernel decided at each: a driver that starts programs as told, and the exec events. */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { RingBuffer } from 'libbpf-ts';
import type { MatchProgram, ProgramClause } from '../../src/core/match-program.ts';
import { MatchApplier } from '../../src/datapath/match-applier.ts';
import type { SpecialExecutables } from '../../src/datapath/match-tables.ts';
import { EventType, type ExecEvent, execEventCodec } from '../../src/datapath/postern.skel.ts';
import { serve } from '../e2e/run-in.ts';
import { type OwnKernel, openKernel } from './own-kernel.ts';

export interface Exec {
  readonly path: string;
  /** argv, argv[0] included. */
  readonly args: readonly string[];
  /** `open:FILE` has the file open, to be closed by the exec; `descriptor` executes by one. */
  readonly how?: 'exec' | 'memfd' | 'descriptor' | `open:${string}`;
  /** Folder of a cgroup to enter first. */
  readonly cgroup?: string;
  readonly uid?: number;
  readonly cwd?: string;
  readonly root?: string;
}

export interface Decided {
  readonly event: ExecEvent;
  /** What the kernel found; undefined = no workload. */
  readonly clause: ProgramClause | undefined;
}

export interface Driver {
  readonly pid: number;
  exec(what: Exec): Promise<Decided>;
  end(): Promise<void>;
}

export interface ExecLab extends OwnKernel {
  /** For executables; everybody may read it. */
  readonly folder: string;
  readonly applier: MatchApplier;
  apply(program: MatchProgram, special?: Partial<SpecialExecutables>): void;
  /** Copies the program that does nothing. Returns the path. */
  place(path: string): string;
  /** Copies the driver to `path` and starts it in a cgroup (default: the own one). */
  driver(path?: string, cgroup?: string, args?: readonly string[]): Promise<Driver>;
}

export async function openExecLab(): Promise<ExecLab> {
  const own = openKernel();
  const folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
  const children: ChildProcess[] = [];
  const destroy = async (): Promise<void> => {
    for (const child of children) child.kill('SIGKILL');
    ring?.close();
    await own.destroy();
    rmSync(folder, { recursive: true, force: true });
  };
  let ring: RingBuffer | undefined;
  try {
    for (const name of ['spawn', 'quit']) {
      const source = join(import.meta.dirname, 'attacks', `${name}.c`);
      const flags = ['-O1', '-static', '-Wall', '-Werror', '-D_GNU_SOURCE'];
      execFileSync('cc', [...flags, '-o', join(folder, name), source]);
    }
    execFileSync('chmod', ['755', folder]);
    const applier = new MatchApplier(own.kernel.maps);
    const execs = new Map<number, ExecEvent>();
    ring = new RingBuffer(own.kernel.events, (view, offset) => {
      if (view.getUint8(offset) !== EventType.EVENT_EXEC) return;
      const event = execEventCodec.decode(view, offset);
      execs.set(event.tgid, event);
    });
    own.kernel.attachTracing();
    const place = (path: string, what = 'quit'): string => {
      mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
      copyFileSync(join(folder, what), path);
      return path;
    };
    const driver: ExecLab['driver'] = async (path = join(folder, 'spawn'), cgroup = own.cgroupDir, args = []) => {
      if (path !== join(folder, 'spawn')) place(path, 'spawn');
      const child = await serve([path, ...args], /READY/, { cgroup });
      children.push(child);
      const waiting: ((line: string) => void)[] = [];
      let rest = '';
      child.stdout!.setEncoding('utf8').on('data', (text) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop()!;
        for (const line of lines) if (/^\d/.test(line)) waiting.shift()!(line);
      });
      return {
        pid: child.pid!,
        exec: async ({ how = 'exec', cgroup: enter = '', uid = 0, cwd = '/', root = '', path: file, args }) => {
          const fields = [how, enter, String(uid), cwd, root, file, ...args].map((field) => `${field}\0`).join('');
          const body = Buffer.from(fields);
          const head = Buffer.alloc(4);
          head.writeUInt32LE(body.length);
          const answer = new Promise<string>((resolve) => waiting.push(resolve));
          child.stdin!.write(Buffer.concat([head, body]));
          const [pid, status] = (await answer).split(' ').map(Number) as [number, number];
          if (status !== 0) throw new Error(`${file} ended with ${status}`);
          ring!.consume();
          const event = execs.get(pid);
          execs.clear();
          if (event === undefined) throw new Error(`no exec event of ${file}`);
          return { event, clause: applier.clauseOf(event.clause) };
        },
        end: async () => {
          const closed = new Promise((resolve) => child.once('close', resolve));
          child.stdin!.end();
          await closed;
        },
      };
    };
    return {
      ...own,
      ...{ folder, applier, driver, destroy, place: (path) => place(path) },
      apply: (program, special) => applier.apply(program, { gateways: [], failsafe: [], ...special }),
    };
  } catch (error) {
    await destroy();
    throw error;
  }
}
