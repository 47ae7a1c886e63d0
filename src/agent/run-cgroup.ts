import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { parseCgroup } from './process-scan.ts';

export interface RunCgroups {
  /** Makes a cgroup for one run and moves `pid` into it. Resolves with its path below the cgroup2 root, no leading slash. */
  make(workload: string, pid: number): Promise<string>;
  /** Of a run that is over. What systemd made, systemd removes. */
  remove(path: string): void;
}

/**
 * `postern.slice/postern-run-…scope`: asked of systemd where it is PID 1 and the agent's world is the whole host (systemd
 * owns the tree then, and the agent's unit may not write to it), made below the agent's cgroup root otherwise.
 *
 * @param cgroupMount mount point of cgroup2
 * @param scope the agent's cgroup root below it; '' = the whole host
 */
export function runCgroups(cgroupMount: string, scope: string): RunCgroups {
  const isSystemd = scope === '' && existsSync('/run/systemd/system');
  const slice = [...scope.split('/'), SLICE].filter(Boolean).join('/');
  const removeEmpty = (path: string): void => {
    try {
      rmdirSync(join(cgroupMount, path));
    } catch {
      // somebody is in it, or it is gone
    }
  };
  if (!isSystemd) for (const name of listRuns(join(cgroupMount, slice))) removeEmpty(`${slice}/${name}`);
  return {
    make: async (workload, pid) => {
      const name = `postern-run-${workload.replace('/', '-').slice(0, 150)}-${randomBytes(4).toString('hex')}.scope`;
      if (isSystemd) return startScope(name, workload, pid);
      const path = `${slice}/${name}`;
      mkdirSync(join(cgroupMount, path), { recursive: true });
      try {
        writeFileSync(join(cgroupMount, path, 'cgroup.procs'), String(pid));
      } catch (error) {
        rmdirSync(join(cgroupMount, path));
        throw error;
      }
      return path;
    },
    remove: (path) => {
      if (isSystemd) return;
      removeEmpty(path);
      removeEmpty(slice);
    },
  };
}

/** What an agent that was killed may have left. */
function listRuns(slice: string): string[] {
  return existsSync(slice) ? readdirSync(slice).filter((name) => name.startsWith('postern-run-')) : [];
}

const SLICE = 'postern.slice';
const MOVE_MS = 5_000;
const run = promisify(execFile);

/** Arguments of busctl for a scope with this process in it; gone with its last process. */
export function scopeCall(name: string, workload: string, pid: number): string[] {
  const call = ['org.freedesktop.systemd1', '/org/freedesktop/systemd1', 'org.freedesktop.systemd1.Manager'];
  const properties = [
    ...['PIDs', 'au', '1', String(pid)],
    ...['Slice', 's', SLICE],
    ...['Description', 's', `postern run --workload ${workload}`],
    ...['CollectMode', 's', 'inactive-or-failed'],
  ];
  const unit = ['StartTransientUnit', 'ssa(sv)a(sa(sv))', name, 'fail', '4', ...properties, '0'];
  return ['--system', 'call', ...call, ...unit];
}

async function startScope(name: string, workload: string, pid: number): Promise<string> {
  await run('busctl', scopeCall(name, workload, pid), { timeout: MOVE_MS });
  // systemd answers before it has moved the process
  for (const end = performance.now() + MOVE_MS; performance.now() < end; await wait(5)) {
    const cgroup = parseCgroup(readFileSync(`/proc/${pid}/cgroup`, 'utf8'));
    if (cgroup.endsWith(`/${name}`)) return cgroup.replace(/^\//, '');
  }
  throw new Error(`systemd did not move process ${pid} into ${name} in ${MOVE_MS} ms`);
}
