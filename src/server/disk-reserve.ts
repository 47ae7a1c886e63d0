/**
 * A file that keeps part of the database's disk for policy. Whoever else fills the disk, it is given up just before a
 * write would fail, and made again when there is room. (Flows stop long before: disk-room.ts.)
 */
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync, statfsSync } from 'node:fs';
import path from 'node:path';
import type { Database } from './database.ts';
import type { Log } from './log.ts';

const RESERVE_MIB = 32;
/** A write needs its rows and, at worst, the next segment of PostgreSQL's log. */
const LOW_BYTES = 20 * 1024 * 1024;
/** More than this stays free with the reserve made. */
const ROOMY_BYTES = 256 * 1024 * 1024;

export interface DiskReserve {
  /** Gives the reserve up where the disk is full, makes it where it is roomy. Never throws: a write tries its luck. */
  look(): void;
}

/** @param dir on the database's disk */
export function openDiskReserve(dir: string, log: Log): DiskReserve {
  const file = path.join(dir, 'reserve');
  const look = (): void => {
    try {
      const { bavail, bsize } = statfsSync(dir);
      const free = bavail * bsize;
      const isThere = existsSync(file);
      if (isThere && free < LOW_BYTES) {
        rmSync(file);
        log('warn', `the disk of ${dir} is full: ${RESERVE_MIB} MiB that were kept for policy are given up; make room`);
      } else if (!isThere && free > ROOMY_BYTES) reserve(file);
    } catch (error) {
      rmSync(file, { force: true });
      log('warn', `cannot keep room for policy in ${dir}: ${(error as Error).message}`);
    }
  };
  look();
  return { look };
}

/** Its transactions find room where the reserve has any. */
export function withReserve(db: Database, reserve: DiskReserve): Database {
  return {
    ...db,
    transaction: (act) => {
      reserve.look();
      return db.transaction(act);
    },
  };
}

/** Blocks that are allocated, not written: nothing that compresses can take them away, and it costs no time. */
function reserve(file: string): void {
  execFileSync('fallocate', ['-l', `${RESERVE_MIB}MiB`, file], { stdio: ['ignore', 'ignore', 'pipe'] });
}
