/**
 * Brings the database to this version: every file of migrations/ once, in order of their numbers, each in a transaction.
 * Several servers may start at once: an advisory lock lets one do it. A file that was changed after it ran, or that
 * would have to run before one that already did, is an error and not skipped.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import pg from 'pg';
import { type Connection, toClientConfig } from './database.ts';
import type { Log } from './log.ts';

/** Any 64-bit number that nobody else takes: "postern" in ASCII, cut. */
const LOCK = 0x706f_7374;

export const MIN_POSTGRES = 14;

export async function migrate(connection: Connection, folder: string, log: Log): Promise<void> {
  const client = new pg.Client({ ...toClientConfig(connection), application_name: 'postern migrate' });
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (cause) {
    const what = 'url' in connection ? 'the database of DATABASE_URL' : 'the embedded database';
    throw new Error(`Cannot reach ${what}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  try {
    await checkVersion(client);
    await client.query('select pg_advisory_lock($1)', [LOCK]);
    await client.query(`create table if not exists postern_migrations (
      name text primary key, hash text not null, applied_at timestamptz not null default now())`);
    const { rows } = await client.query<{ name: string; hash: string }>(
      'select name, hash from postern_migrations order by name',
    );
    for (const { name, text } of missing(await readMigrations(folder), rows)) {
      await client.query('begin');
      await client.query(text);
      await client.query('insert into postern_migrations (name, hash) values ($1, $2)', [name, hashOf(text)]);
      await client.query('commit');
      log('info', `database: ran migration ${name}`);
    }
  } finally {
    // Ends the session, and with it the lock and any open transaction.
    await client.end();
  }
}

async function checkVersion(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ n: string }>("select current_setting('server_version_num') as n");
  const major = Math.floor(Number(rows[0]!.n) / 10_000);
  if (major < MIN_POSTGRES) {
    throw new Error(
      `Cannot use the database of DATABASE_URL: it is PostgreSQL ${major}, at least ${MIN_POSTGRES} is needed; ` +
        'upgrade it, or leave DATABASE_URL unset to use the embedded one',
    );
  }
}

interface Migration {
  readonly name: string;
  readonly text: string;
}

async function readMigrations(folder: string): Promise<Migration[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort();
  return Promise.all(names.map(async (name) => ({ name, text: await readFile(path.join(folder, name), 'utf8') })));
}

/** Those that have not run. Throws when what has run is not a beginning of what there is. */
export function missing(files: readonly Migration[], ran: readonly { name: string; hash: string }[]): Migration[] {
  for (const [i, { name, hash }] of ran.entries()) {
    const file = files[i];
    if (file === undefined || file.name > name) {
      throw new Error(
        `Cannot open the database: migration "${name}" has run, this version does not know it; start the newer version`,
      );
    }
    if (file.name < name) {
      throw new Error(`Cannot open the database: migration "${file.name}" comes before "${name}", which has run`);
    }
    if (hashOf(file.text) !== hash) {
      throw new Error(`Cannot open the database: migration "${name}" was changed after it ran`);
    }
  }
  return files.slice(ran.length);
}

export function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
