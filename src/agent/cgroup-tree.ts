import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { CgroupEvent } from '../datapath/postern.skel.ts';

/** Cgroups of the host by id (the inode number of the folder, as the kernel reports it), kept by mkdir and rmdir events. */
export class CgroupTree {
  readonly #mount: string;
  readonly #paths = new Map<number, string>();

  /** @param mount mount point of cgroup2 */
  constructor(mount: string) {
    this.#mount = mount;
  }

  /** Below the cgroup2 root, without leading slash; '' is the root. */
  path(id: number): string | undefined {
    return this.#paths.get(id);
  }

  id(path: string): number | undefined {
    try {
      return statSync(join(this.#mount, path)).ino;
    } catch {
      return undefined;
    }
  }

  /** Processes in it, without those in cgroups below it. */
  pids(path: string): number[] {
    try {
      return readFileSync(join(this.#mount, path, 'cgroup.procs'), 'utf8')
        .split('\n')
        .filter(Boolean)
        .map(Number);
    } catch {
      return [];
    }
  }

  event({ id, path, removed }: CgroupEvent): void {
    if (removed) this.#paths.delete(id);
    else this.#paths.set(id, path.replace(/^\//, ''));
  }

  /** Looks at the whole tree again. Returns (id, path) of every cgroup. */
  scan(): ReadonlyMap<number, string> {
    this.#paths.clear();
    this.#walk(this.#mount);
    return this.#paths;
  }

  #walk(folder: string): void {
    try {
      this.#paths.set(statSync(folder).ino, relative(this.#mount, folder));
      for (const entry of readdirSync(folder, { withFileTypes: true }))
        if (entry.isDirectory()) this.#walk(join(folder, entry.name));
    } catch {
      // removed while being read
    }
  }
}
