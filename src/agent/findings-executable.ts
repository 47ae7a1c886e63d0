import { statSync } from 'node:fs';
import { changeableBy, inodeOf, type PathPart, type Who, walkPath } from './findings-path.ts';
import { type Accounts, type Writer, writersOf } from './findings-writers.ts';
import type { HostProcess } from './process-scan.ts';

export interface Executable {
  readonly path: string;
  readonly parts: readonly PathPart[];
}

/** Executable and script of a process, with the way to each, as they lie now where it sees them. */
export function executablesOf({ pid, exe, script, isExeGone }: HostProcess, procPath = '/proc'): Executable[] {
  const root = `${procPath}/${pid}/root`;
  const inode = inodeAt(`${procPath}/${pid}/exe`);
  const found: Executable[] = [];
  // A path of a chroot is that of the host: then it is what runs only there.
  for (const folder of exe === undefined ? [] : [root, '']) {
    const parts = walkPath(folder, exe!);
    if (parts === undefined || !(isExeGone || parts.at(-1)!.inode === inode)) continue;
    found.push({ path: exe!, parts });
    break;
  }
  const parts = script === undefined ? undefined : (walkPath(root, script) ?? walkPath('', script));
  return parts === undefined ? found : [...found, { path: script!, parts }];
}

/** Who may replace it: others, or the workload's own user, whom an exec as root does not count. */
export function replacersOf(
  { parts }: Executable,
  who: Who,
  isReadOnly: (path: string) => boolean,
  accounts: Accounts,
): Writer[] {
  const others = writersOf(parts, who.uid, accounts);
  const own = who.uid === 0 ? [] : changeableBy({ uid: who.uid, groups: who.groups }, parts, isReadOnly);
  const isOwnOnly = own.length > 0 && !others.some(({ by }) => by === 'everybody');
  return isOwnOnly ? [...others, { by: 'its own user', paths: own }] : others;
}

/** Programs that take the rights of root; on a mount without `nosuid` and with the bit set. */
export const SET_USER_ID = [
  ...['/usr/bin/sudo', '/usr/bin/su', '/usr/bin/pkexec', '/usr/bin/mount', '/usr/bin/umount', '/usr/bin/passwd'],
  ...['/usr/bin/newgrp', '/usr/bin/chsh', '/usr/bin/chfn', '/usr/bin/gpasswd', '/usr/bin/fusermount3'],
  ...['/usr/bin/newuidmap', '/bin/su', '/bin/mount', '/usr/bin/doas'],
] as const;

/** The first that this one may execute; undefined = none of them. */
export function setUserIdProgram(
  who: Who,
  root: string,
  isMounted: (path: string, option: string) => boolean,
): string | undefined {
  return SET_USER_ID.find((path) => {
    const parts = walkPath(root, path);
    const file = parts?.at(-1);
    if (parts === undefined || file === undefined || file.uid !== 0 || (file.mode & 0o4000) === 0) return false;
    return !isMounted(file.path, 'nosuid') && parts.every((part) => mayExecute(who, part));
  });
}

function mayExecute({ uid, groups }: Who, { mode, uid: owner, gid }: PathPart): boolean {
  return ((mode >> (uid === owner ? 6 : groups.has(gid) ? 3 : 0)) & 1) === 1;
}

function inodeAt(path: string): string | undefined {
  try {
    return inodeOf(statSync(path));
  } catch {
    return undefined;
  }
}
