/**
 * Connections to PostgreSQL, and queries written with drizzle's `sql` template (values always bound, never pasted).
 * Only the template is used: the query builder would double the server's memory (src/server/README.md).
 */
import { type SQL, sql } from 'drizzle-orm/sql/sql';
import pg from 'pg';
import type { Log } from './log.ts';

export { sql };
export type Row = Record<string, unknown>;

export interface Queries {
  query<T extends Row = Row>(statement: SQL): Promise<T[]>;
}

export interface Database extends Queries {
  /** Commits when `act` resolves; rolls back when it throws. */
  transaction<T>(act: (tx: Queries) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export type Connection = { readonly url: string } | { readonly socketDir: string; readonly user: string };

export interface DatabaseOptions {
  readonly connection: Connection;
  readonly max: number;
  readonly log: Log;
  /** Longest statement, in ms. */
  readonly statementMs?: number;
}

/** The database cannot be reached, or has just gone: nothing was changed, try again. */
export class UnavailableError extends Error {
  override readonly name = 'UnavailableError';
}

export function openDatabase({ connection, max, log, statementMs = 15_000 }: DatabaseOptions): Database {
  const pool = new pg.Pool({
    ...toClientConfig(connection),
    max,
    connectionTimeoutMillis: 3000,
    statement_timeout: statementMs,
    idleTimeoutMillis: 60_000,
    application_name: 'postern',
  });
  let isClosing = false;
  pool.on('error', (error) => {
    if (!isClosing) log('warn', `a database connection broke: ${error.message}`);
  });
  return {
    query: (statement) => run(pool, statement),
    async transaction(act) {
      const client = await connect(pool);
      let broken: Error | undefined;
      try {
        await client.query('begin');
        const value = await act({ query: (statement) => run(client, statement) });
        await runCommit(client);
        return value;
      } catch (error) {
        await client.query('rollback').catch((reason: Error) => {
          broken = reason;
        });
        throw error;
      } finally {
        client.release(broken);
      }
    },
    close() {
      isClosing = true;
      return pool.end();
    },
  };
}

export function toClientConfig(connection: Connection): pg.ClientConfig {
  const types = { getTypeParser };
  if ('url' in connection) return { connectionString: connection.url, types };
  return { host: connection.socketDir, user: connection.user, database: 'postgres', types };
}

/** bigint as a number: revisions and counts stay far below 2^53. */
function getTypeParser(oid: number, format?: 'text' | 'binary') {
  return oid === 20 ? Number : pg.types.getTypeParser(oid, format);
}

async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    const client = await pool.connect();
    // Without a listener a connection that breaks between two statements would end the process.
    if (client.listenerCount('error') === 0) client.on('error', () => undefined);
    return client;
  } catch (error) {
    throw toUnavailable(error);
  }
}

async function run<T extends Row>(on: pg.Pool | pg.PoolClient, statement: SQL): Promise<T[]> {
  const { sql: text, params } = statement.toQuery(RENDERING);
  try {
    return (await on.query<T>(text, params as unknown[])).rows;
  } catch (error) {
    throw toUnavailable(error);
  }
}

async function runCommit(client: pg.PoolClient): Promise<void> {
  try {
    await client.query('commit');
  } catch (error) {
    throw toUnavailable(error);
  }
}

const RENDERING = {
  escapeName: (name: string) => `"${name.replaceAll('"', '""')}"`,
  escapeParam: (index: number) => `$${index + 1}`,
  escapeString: (text: string) => `'${text.replaceAll("'", "''")}'`,
} as unknown as Parameters<SQL['toQuery']>[0];

/** SQLSTATE classes: 08 connection, 53 out of resources, 57P shutdown, 58 system (disk), XX internal. */
function toUnavailable(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const code = (error as { code?: string }).code ?? '';
  const gone =
    /^(08|53|57P|58)/.test(code) || /^E[A-Z]+$/.test(code) || /terminated|timeout|Connection/i.test(error.message);
  return gone ? new UnavailableError(`The database is not available: ${error.message}`, { cause: error }) : error;
}
