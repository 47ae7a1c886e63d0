/**
 * One server per state folder. `server.lock` holds `pid start-ticks`: a pid alone may belong to another process by
 * the time it is read, a pid with its start time may not.
 */
import { linkSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export interface StateLock {
  release(): void;
}

/** Throws when a living server holds the folder. */
export function lockState(stateDir: string): StateLock {
  const file = path.join(stateDir, 'server.lock');
  const own = `${process.pid} ${startTicks(process.pid)}\n`;
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, own);
  try {
    for (let round = 0; ; round++) {
      try {
        linkSync(draft, file);
        break;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || round > 3) throw error;
        const [pid = '0', ticks] = readOr(file).trim().split(' ');
        const alive = startTicks(Number(pid));
        if (alive !== undefined && alive === ticks) {
          const who = Number(pid) === process.pid ? 'this process already runs a server on it' : `server ${pid} has it`;
          throw new Error(`Cannot use state folder "${stateDir}": ${who}; stop that one or choose another --state-dir`);
        }
        rmSync(file, { force: true });
      }
    }
  } finally {
    rmSync(draft, { force: true });
  }
  return {
    release() {
      if (readOr(file) === own) unlinkSync(file);
    },
  };
}

/** Field 22 of /proc/PID/stat: when the process started; undefined = no such process. */
function startTicks(pid: number): string | undefined {
  const stat = readOr(`/proc/${pid}/stat`);
  return stat === ''
    ? undefined
    : stat
        .slice(stat.lastIndexOf(')') + 2)
        .split(' ')
        .at(19);
}

function readOr(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
