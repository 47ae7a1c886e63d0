/** Whether flows may still be written to the database's disk: what is left of it is for policy. */
import { statfs } from 'node:fs/promises';
import type { Log } from './log.ts';

const MIN_FREE_BYTES = 128 * 1024 * 1024;

export class DiskRoom {
  readonly #dir: string | undefined;
  readonly #log: Log;
  #had = true;

  /** @param dir undefined = the disk is another machine's: always room */
  constructor(dir: string | undefined, log: Log) {
    this.#dir = dir;
    this.#log = log;
  }

  /** `makeRoom` is tried first: old flows give way to new ones. */
  async hasRoom(makeRoom: () => Promise<void>): Promise<boolean> {
    if (this.#dir === undefined) return true;
    if (await isFull(this.#dir)) await makeRoom();
    const has = !(await isFull(this.#dir));
    if (has !== this.#had) {
      const free = `${MIN_FREE_BYTES >> 20} MiB free in ${this.#dir}`;
      this.#log('warn', has ? `flows are stored again: ${free}` : `flows are not stored: less than ${free}`);
    }
    this.#had = has;
    return has;
  }
}

async function isFull(dir: string): Promise<boolean> {
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize < MIN_FREE_BYTES;
}
