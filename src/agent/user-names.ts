import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';

/** Names of users, both ways: /etc/passwd first, then whatever else NSS knows (LDAP, sssd) through getent. */
export interface UserNames {
  /** The number in words when nobody has it. */
  nameOf(uid: number): string;
  uidOf(name: string): number | undefined;
}

/**
 * Reads /etc/passwd again when it changed. What getent said, also "no such user", holds for `recheckMs`: a directory
 * server that is down may cost 2 s per unknown name, once.
 */
export function createUserNames(passwdPath = '/etc/passwd', recheckMs = 300_000): UserNames {
  let version = '';
  let local = readPasswd('');
  const asked = new Map<string, { line: string | undefined; at: number }>();
  const refresh = (): void => {
    const now = versionOf(passwdPath);
    if (now === version) return;
    version = now;
    local = readPasswd(readText(passwdPath));
    asked.clear();
  };
  const ask = (key: string): string | undefined => {
    const known = asked.get(key);
    if (known !== undefined && performance.now() - known.at < recheckMs) return known.line;
    const line = getent(key);
    asked.set(key, { line, at: performance.now() });
    return line;
  };
  return {
    nameOf: (uid) => {
      refresh();
      return local.names.get(uid) ?? ask(String(uid))?.split(':')[0] ?? String(uid);
    },
    uidOf: (name) => {
      refresh();
      const uid = local.uids.get(name) ?? ask(name)?.split(':')[2];
      return uid === undefined ? undefined : Number(uid);
    },
  };
}

function readPasswd(text: string): { names: Map<number, string>; uids: Map<string, number> } {
  const names = new Map<number, string>();
  const uids = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [name, , uid] = line.split(':');
    if (!name || name.startsWith('#') || !/^\d+$/.test(uid ?? '')) continue;
    if (!names.has(Number(uid))) names.set(Number(uid), name);
    if (!uids.has(name)) uids.set(name, Number(uid));
  }
  return { names, uids };
}

function getent(key: string): string | undefined {
  try {
    const line = execFileSync('getent', ['passwd', key], {
      encoding: 'utf8',
      timeout: 2000,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return line.split('\n')[0] || undefined;
  } catch {
    return undefined;
  }
}

function versionOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? 'none' : `${stat.ino}-${stat.size}-${stat.mtimeMs}`;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
