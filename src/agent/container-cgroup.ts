import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseCgroup } from './process-scan.ts';
import { runCalmly, type Steps } from './steps.ts';

/** What else than its container is named by its id. */
const MONITOR = 'conmon';

/**
 * Where a container runs, from the cgroup2 root without leading slash: the cgroup whose name has its id in it, that of its first
 * process or else anywhere (a runtime in another pid namespace has other pids). undefined = none: ended, or started without a cgroup of
 * its own, and the cgroup of who started it must not take its name.
 *
 * @param mount mount point of cgroup2
 * @param owner whose socket told of it: but for root, he may only speak of cgroups that are his
 */
export async function containerCgroup(
  mount: string,
  id: string,
  pid: number | undefined,
  owner: number,
): Promise<string | undefined> {
  if (pid === undefined || !/^[0-9a-f]{64}$/.test(id)) return undefined;
  const found = ofProcess(pid, id) ?? (await runCalmly(search(mount, '', id)));
  if (found === undefined || owner === 0) return found;
  return statSync(join(mount, found), { throwIfNoEntry: false })?.uid === owner ? found : undefined;
}

function ofProcess(pid: number, id: string): string | undefined {
  try {
    const parts = parseCgroup(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))
      .split('/')
      .filter(Boolean);
    const at = parts.findIndex((part) => isNamed(part, id)); // its init may have made cgroups below
    return at < 0 ? undefined : parts.slice(0, at + 1).join('/');
  } catch {
    return undefined; // ended meanwhile
  }
}

function* search(mount: string, folder: string, id: string): Steps<string | undefined> {
  for (const name of foldersIn(join(mount, folder))) {
    const path = join(folder, name);
    if (isNamed(name, id)) return path;
    const below = yield* search(mount, path, id);
    if (below !== undefined) return below;
  }
  yield;
  return undefined;
}

function isNamed(part: string, id: string): boolean {
  return part.includes(id) && !part.includes(MONITOR);
}

function foldersIn(path: string): string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch {
    return []; // removed while being read
  }
}
