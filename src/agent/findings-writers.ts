import { readFileSync, statSync } from 'node:fs';
import { changeableBy, type PathPart, type Who } from './findings-path.ts';

/** Names of users and groups as this host's files have them, without asking a directory server: that would take time. */
export interface Accounts {
  userName(uid: number): string;
  groupName(gid: number): string;
  /** Whether somebody besides root is in the group, or that is not known. */
  hasMembers(gid: number): boolean;
}

export interface Writer {
  /** `everybody`, `user deploy`, `group ops` */
  readonly by: string;
  /** From the top; never empty. */
  readonly paths: readonly string[];
}

/** Who besides root and `own` could put something else at the end of the way, the widest circle first. */
export function writersOf(parts: readonly PathPart[], own: number, accounts: Accounts): Writer[] {
  const nobody = { uid: -1, groups: new Set<number>() };
  const everybody = writer('everybody', nobody, parts);
  if (everybody.length > 0) return everybody;
  const groups = [...new Set(parts.map(({ gid }) => gid))].filter((gid) => gid !== 0 && accounts.hasMembers(gid));
  const owners = [...new Set(parts.map(({ uid }) => uid))].filter((uid) => uid !== 0 && uid !== own);
  return [
    ...groups.flatMap((gid) => writer(`group ${accounts.groupName(gid)}`, { uid: -1, groups: new Set([gid]) }, parts)),
    ...owners.flatMap((uid) => writer(`user ${accounts.userName(uid)}`, { uid, groups: new Set() }, parts)),
  ];
}

function writer(by: string, who: Who, parts: readonly PathPart[]): Writer[] {
  const paths = changeableBy(who, parts);
  return paths.length === 0 ? [] : [{ by, paths }];
}

/** Read again when a file has changed. */
export function accountsOf(folder = '/etc'): Accounts {
  const version = ['passwd', 'group'].map((name) => versionOf(`${folder}/${name}`)).join(' ');
  const before = known.get(folder);
  if (before?.version === version) return before.accounts;
  const accounts = readAccounts(folder);
  known.set(folder, { version, accounts });
  return accounts;
}

const known = new Map<string, { readonly version: string; readonly accounts: Accounts }>();

function versionOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? 'none' : `${stat.ino}-${stat.size}-${stat.mtimeMs}`;
}

function readAccounts(folder: string): Accounts {
  const users = linesOf(`${folder}/passwd`);
  const groups = new Map(linesOf(`${folder}/group`).map((fields) => [Number(fields[2]), fields]));
  const primary = new Set(users.filter(([name]) => name !== 'root').map((fields) => Number(fields[3])));
  const names = new Map(users.map(([name = '', , uid]) => [Number(uid), name]));
  return {
    userName: (uid) => names.get(uid) ?? String(uid),
    groupName: (gid) => groups.get(gid)?.[0] ?? String(gid),
    hasMembers: (gid) => {
      const members = groups.get(gid)?.[3];
      return (
        members === undefined || primary.has(gid) || members.split(',').some((name) => name !== '' && name !== 'root')
      );
    },
  };
}

function linesOf(path: string): string[][] {
  try {
    const lines = readFileSync(path, 'utf8').split('\n');
    return lines.filter((line) => /^[^#:]+:/.test(line)).map((line) => line.split(':'));
  } catch {
    return [];
  }
}
