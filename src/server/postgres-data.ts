/** The embedded database's data folder: whose it is, how it is made, and what may still be running on it. */
import { execFile } from 'node:child_process';
import { chmod, chown, lchown, mkdir, readdir, readFile, readlink, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Log } from './log.ts';
import { isOpenTo, type PostgresBinaries } from './postgres-package.ts';

/** In none of the ranges that Debian, Fedora or systemd hand out (60578..61183 is free); needs no passwd entry. */
const DEDICATED_UID = 60746;
/** initdb, alone of all, insists on a user that passwd knows: it runs as nobody, then the folder changes hands. */
const NOBODY = 65534;

/** PostgreSQL refuses to run as root. Undefined = as we are; else the owner of the data, or the uid kept for it. */
export async function databaseUid(dataDir: string): Promise<number | undefined> {
  if (process.geteuid?.() !== 0) return undefined;
  try {
    const { uid } = await stat(path.join(dataDir, 'PG_VERSION'));
    return uid === 0 ? DEDICATED_UID : uid;
  } catch {
    return DEDICATED_UID;
  }
}

export interface DataDirOptions {
  readonly dataDir: string;
  readonly uid: number | undefined;
  readonly binaries: PostgresBinaries;
  readonly user: string;
  readonly log: Log;
}

/** Makes the folder if there is none; throws when it belongs to another major version. */
export async function prepareDataDir({ dataDir, uid, binaries, user, log }: DataDirOptions): Promise<void> {
  const found = await readMajor(dataDir);
  if (found !== undefined && found !== binaries.major) {
    throw new Error(
      `Cannot open database "${dataDir}": it was made by PostgreSQL ${found}, this is PostgreSQL ${binaries.major}; ` +
        `move it with pg_upgrade or a dump, or run it with PostgreSQL ${found} and set DATABASE_URL`,
    );
  }
  const home = path.dirname(dataDir);
  if (uid !== undefined && !(await isOpenTo(home, uid))) {
    throw new Error(
      `Cannot keep the database in "${home}": a folder on the way is closed to uid ${uid}, which PostgreSQL runs as ` +
        'because it refuses to run as root; choose a --state-dir whose parents have mode 0711 or more',
    );
  }
  if (found !== undefined) {
    if (uid !== undefined && (await stat(dataDir)).uid !== uid) await chownTree(dataDir, uid);
    return;
  }
  const started = Date.now();
  const draft = `${dataDir}.new`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { mode: 0o700 });
  const runAs = uid === undefined ? {} : { uid: NOBODY, gid: NOBODY };
  if (uid !== undefined) await chown(draft, NOBODY, NOBODY);
  const options = ['-D', draft, '-U', user, '--no-locale', '-E', 'UTF8', '--auth=trust', '--no-instructions'];
  try {
    await promisify(execFile)(binaries.initdb, options, {
      ...runAs,
      cwd: '/',
      env: { LANG: 'C', LC_ALL: 'C', TZ: 'UTC' },
    });
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim() || String(error);
    throw new Error(`Cannot make a database in "${dataDir}": ${said}`, { cause: error });
  }
  if (uid !== undefined) await chownTree(draft, uid);
  await rm(dataDir, { recursive: true, force: true });
  await rename(draft, dataDir);
  log('info', `made a new database in ${dataDir} (${Date.now() - started} ms)`);
}

/**
 * Stops a postmaster that outlived its server, and removes a postmaster.pid whose process is none. The caller holds the
 * state folder's lock, so no living server owns either.
 */
export async function stopOrphan(dataDir: string, log: Log): Promise<void> {
  const file = path.join(dataDir, 'postmaster.pid');
  const pid = Number.parseInt(await readFile(file, 'utf8').catch(() => ''), 10);
  if (!(pid > 0)) return;
  const runsHere = async () => (await readlink(`/proc/${pid}/cwd`).catch(() => '')) === dataDir;
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    if (!(await runsHere())) break;
    log('warn', `stopping a PostgreSQL that outlived its server (pid ${pid}, ${signal})`);
    try {
      process.kill(pid, signal);
    } catch {
      break;
    }
    for (let waitedMs = 0; waitedMs < 10_000 && (await runsHere()); waitedMs += 50) await delay(50);
  }
  await rm(file, { force: true });
}

async function readMajor(dataDir: string): Promise<number | undefined> {
  try {
    return Number.parseInt(await readFile(path.join(dataDir, 'PG_VERSION'), 'utf8'), 10);
  } catch {
    return undefined;
  }
}

async function chownTree(dir: string, uid: number): Promise<void> {
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    await lchown(path.join(entry.parentPath, entry.name), uid, uid);
  }
  await chown(dir, uid, uid);
  await chmod(dir, 0o700);
}
