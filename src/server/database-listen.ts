/** Wakes when another server has written: LISTEN on a connection of its own, made again when it breaks. */
import pg from 'pg';
import { type Connection, toClientConfig } from './database.ts';
import type { Log } from './log.ts';

const AGAIN_MS = 2000;

/** `onWake` runs after every (re)connection too: what was missed meanwhile is not told. */
export function listenForWrites(connection: Connection, onWake: () => Promise<void>, log: Log): () => Promise<void> {
  let client: pg.Client | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const wake = () => {
    onWake().catch((error) => log('warn', `cannot catch up with the database: ${error}`));
  };
  const connect = async () => {
    const own = new pg.Client({ ...toClientConfig(connection), application_name: 'postern listen' });
    client = own;
    own.on('notification', wake);
    own.on('error', () => undefined);
    own.once('end', again);
    try {
      await own.connect();
      await own.query('listen postern');
      wake();
    } catch (error) {
      log('warn', `cannot listen for the writes of other servers: ${error}`);
      await own.end().catch(() => undefined);
      again();
    }
  };
  const again = () => {
    if (closed || timer !== undefined) return;
    timer = setTimeout(() => {
      timer = undefined;
      void connect();
    }, AGAIN_MS);
  };
  void connect();
  return async () => {
    closed = true;
    clearTimeout(timer);
    await client?.end().catch(() => undefined);
  };
}
