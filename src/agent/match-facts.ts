import { type Dirent, readdirSync, realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Glob, type GlobToken, globLiteral, globMatches, toGlob } from '../core/glob.ts';
import type { Container } from '../core/match-place.ts';
import type { MatchFacts } from '../core/match-program.ts';
import type { MatchClause } from '../core/workload.ts';
import type { SocketUnitFiles } from './socket-units.ts';
import { runAtOnce, type Steps } from './steps.ts';
import type { UserNames } from './user-names.ts';

/**
 * What the match program needs to know of this host: numbers of users, files that a pattern of `exe` or `script` names now (symbolic
 * links resolved, since the kernel sees only what they point at), and those of them that anybody could replace.
 */
export function loadMatchFacts(...words: Parameters<typeof matchFacts>): MatchFacts {
  return runAtOnce(matchFacts(...words));
}

export function* matchFacts(
  workloads: readonly { readonly match: readonly MatchClause[] }[],
  users: UserNames,
  sockets: SocketUnitFiles,
  containers: readonly Container[] | undefined = undefined,
  cgroupRoot: string | undefined = undefined,
): Steps<MatchFacts> {
  const uids = new Map<string, number>();
  const paths = new Map<string, readonly string[]>();
  const untrusted = new Set<string>();
  for (const { process, systemdUserUnit } of workloads.flatMap((workload) => workload.match)) {
    for (const user of [process?.user, systemdUserUnit?.split('/')[0]]) {
      const uid = user === undefined ? undefined : users.uidOf(user);
      if (uid !== undefined) uids.set(user!, uid);
    }
    for (const pattern of [process?.exe, process?.script]) {
      if (pattern === undefined || paths.has(pattern)) continue;
      const glob = toGlob(pattern);
      const found = expandPath(glob);
      const literal = globLiteral(glob);
      if (literal === undefined || found.length > 0) paths.set(pattern, found);
      if (literal !== undefined && [literal, ...found].some(isReplaceable)) untrusted.add(literal);
    }
    yield;
  }
  return {
    ...{ uids, paths, untrusted, socketServices: sockets.read() },
    ...(containers === undefined ? {} : { containers }),
    ...(cgroupRoot === undefined ? {} : { cgroupRoot }),
  };
}

/**
 * Regular files that the pattern names, resolved, sorted, without doubles. `**` looks 8 folders deep and at 20,000 names,
 * and what it found holds for a minute: it is asked for every 2 s.
 */
export function expandPath(glob: Glob, limit = 4096): string[] {
  const parts = splitPath(glob.tokens);
  let folders: string[] = ['/'];
  for (const [i, part] of parts.entries()) {
    const isLast = i === parts.length - 1;
    const rest = { source: glob.source, tokens: part };
    const literal = globLiteral(rest);
    const deep = part.some((token) => token.kind === 'deep');
    const next: string[] = [];
    for (const folder of folders) {
      if (literal !== undefined) next.push(join(folder, literal));
      else if (deep) next.push(...walk(folder, glob));
      else
        next.push(
          ...list(folder)
            .filter((name) => globMatches(rest, name))
            .map((name) => join(folder, name)),
        );
      if (next.length >= limit) break;
    }
    folders = next.slice(0, limit);
    if (deep) return resolveFiles(folders);
    if (!isLast) folders = folders.filter((path) => isKind(path, 'folder'));
  }
  return resolveFiles(folders);
}

const DEEP = 8;
const WALKED = 20_000;

/** Can somebody else than its owner or root change what runs under this path? */
function isReplaceable(path: string): boolean {
  const file = statSync(path, { throwIfNoEntry: false });
  const folder = statSync(dirname(path), { throwIfNoEntry: false });
  const others = 0o002;
  const sticky = 0o1000;
  if (file !== undefined && (file.mode & others) !== 0) return true;
  if (folder === undefined || (folder.mode & others) === 0) return false;
  // In a sticky folder a file of root stays root's; a name that is free is anybody's.
  return (folder.mode & sticky) === 0 || file === undefined || file.uid !== 0;
}

function splitPath(tokens: readonly GlobToken[]): GlobToken[][] {
  const parts: GlobToken[][] = [[]];
  for (const token of tokens) {
    if (token.kind === 'literal' && token.char === '/') parts.push([]);
    else parts.at(-1)!.push(token);
  }
  return parts.filter((part) => part.length > 0);
}

/** What "**" stands for crosses folders, so whole paths are held against the whole pattern. */
function walk(top: string, glob: Glob): string[] {
  const key = `${top} ${glob.source}`;
  const known = walked.get(key);
  if (known !== undefined && performance.now() - known.at < 60_000) return known.files;
  const files: string[] = [];
  const work = [{ folder: top, depth: DEEP }];
  let left = WALKED;
  for (let next = work.shift(); next !== undefined && left > 0; next = work.shift()) {
    for (const entry of listEntries(next.folder)) {
      left--;
      const path = join(next.folder, entry.name);
      if (entry.isDirectory()) {
        if (next.depth > 0) work.push({ folder: path, depth: next.depth - 1 });
      } else if (globMatches(glob, path)) {
        files.push(path);
      }
    }
  }
  walked.set(key, { files, at: performance.now() });
  return files;
}

const walked = new Map<string, { files: string[]; at: number }>();

function listEntries(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}

function resolveFiles(paths: readonly string[]): string[] {
  const files = new Set<string>();
  for (const path of paths) {
    if (!isKind(path, 'file')) continue;
    try {
      files.add(realpathSync(path));
    } catch {
      // Gone since.
    }
  }
  return [...files].sort();
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

function isKind(path: string, kind: 'file' | 'folder'): boolean {
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    return kind === 'file' ? (stat?.isFile() ?? false) : (stat?.isDirectory() ?? false);
  } catch {
    return false;
  }
}

function join(folder: string, name: string): string {
  return folder === '/' ? `/${name}` : `${folder}/${name}`;
}
