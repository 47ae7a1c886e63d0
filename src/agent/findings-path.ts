import { lstatSync, readlinkSync, type Stats, statSync } from 'node:fs';

/** Who opens a file, as far as permission bits ask. Access control lists are not read. */
export interface Who {
  readonly uid: number;
  readonly groups: ReadonlySet<number>;
  /** CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH. */
  readonly overrides?: boolean;
  readonly searches?: boolean;
}

export interface PathPart {
  readonly path: string;
  readonly isFolder: boolean;
  readonly isSocket: boolean;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  /** Name of the inode. */
  readonly inode: string;
}

const LINKS = 40;
const WRITE = 2;
const SEARCH = 1;
const STICKY = 0o1000;

/**
 * Every folder on the way to `path` and what is there, links followed as a process with that root would follow them.
 * Undefined when nothing is there. @param root a folder, `/proc/PID/root`
 */
export function walkPath(root: string, path: string): PathPart[] | undefined {
  try {
    const parts = [toPart('/', statSync(`${root}/`))];
    let at: string[] = [];
    let left = path.split('/');
    for (let links = 0; left.length > 0; ) {
      const [name = '', ...rest] = left;
      left = rest;
      if (name === '..') at.pop();
      if (name === '' || name === '.' || name === '..') continue;
      const here = `/${[...at, name].join('/')}`;
      const stat = lstatSync(root + here);
      if (stat.isSymbolicLink()) {
        if (++links > LINKS) return undefined;
        const target = readlinkSync(root + here);
        if (target.startsWith('/')) at = [];
        left = [...target.split('/'), ...left];
      } else {
        parts.push(toPart(here, stat));
        at.push(name);
      }
    }
    return parts;
  } catch (error) {
    if (NOT_THERE.has((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

const NOT_THERE = new Set(['ENOENT', 'ESRCH', 'ENOTDIR', 'EACCES', 'EPERM', 'ELOOP', 'ENAMETOOLONG', 'EIO', 'ESTALE']);

export function inodeOf({ dev, ino }: Pick<Stats, 'dev' | 'ino'>): string {
  return `${dev}:${ino}`;
}

function toPart(path: string, stat: Stats): PathPart {
  const { uid, gid, mode } = stat;
  return { path, isFolder: stat.isDirectory(), isSocket: stat.isSocket(), uid, gid, mode, inode: inodeOf(stat) };
}

/** connect() to a socket needs the way there, and to write to it. */
export function mayConnect(who: Who, parts: readonly PathPart[]): boolean {
  return parts.every((part) => may(who, part, part.isFolder ? SEARCH : WRITE));
}

/**
 * Folders and files by which this one can put something else at the end of the way, from the top; none = he cannot.
 * @param isFixed nobody can change it there: mounted read-only
 */
export function changeableBy(
  who: Who,
  parts: readonly PathPart[],
  isFixed: (path: string) => boolean = () => false,
): string[] {
  const found: string[] = [];
  for (const [i, part] of parts.entries()) {
    const isOwner = part.uid === who.uid; // who may give himself every right
    if ((isOwner || mayWrite(who, part, parts[i + 1])) && !isFixed(part.path)) found.push(part.path);
    if (part.isFolder && !isOwner && !may(who, part, SEARCH)) break;
  }
  return found;
}

/** Into a folder: what is `next` in it can be replaced. */
function mayWrite(who: Who, part: PathPart, next: PathPart | undefined): boolean {
  if (!part.isFolder) return may(who, part, WRITE);
  const isProtected = (part.mode & STICKY) !== 0 && next !== undefined && next.uid !== who.uid;
  return !isProtected && may(who, part, WRITE) && may(who, part, SEARCH);
}

function may({ uid, groups, overrides, searches }: Who, part: PathPart, right: number): boolean {
  if (overrides || (searches && right === SEARCH)) return true;
  const shift = part.uid === uid ? 6 : groups.has(part.gid) ? 3 : 0;
  return ((part.mode >> shift) & right) === right;
}
