/**
 * The control plane, wired: database → migrations → state → routes → listeners, and back again in `close`.
 * It listens on loopback and on a unix socket, nowhere else: TLS and tokens come with many hosts.
 */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { getRequestListener } from '@hono/node-server';
import type { Hono } from 'hono';
import { LISTEN_RULE, parseListen } from '../api/listen.ts';
import type { LabelOf } from './access.ts';
import { agentLabels } from './agent-labels.ts';
import { createApp } from './app.ts';
import { Asks } from './asks.ts';
import type { ServerContext } from './context.ts';
import { type Connection, openDatabase } from './database.ts';
import { listenForWrites } from './database-listen.ts';
import { startDeriving } from './derived-identity.ts';
import { openDiskReserve, withReserve } from './disk-reserve.ts';
import { startEmbeddedPostgres } from './embedded-postgres.ts';
import { startExpiry } from './expiry.ts';
import type { FlowRetention } from './flow-partition.ts';
import { FlowStore } from './flow-store.ts';
import { serverGauges } from './gauges.ts';
import type { Log } from './log.ts';
import { Metrics } from './metrics.ts';
import { migrate } from './migrate.ts';
import type { Env } from './operation.ts';
import { KERNEL_LOOKUP, type PeerLookup } from './peer.ts';
import { Reports } from './reports.ts';
import { allOperations } from './routes/index.ts';
import { RuleHits } from './rule-hits.ts';
import { lockState } from './state-lock.ts';
import { Store } from './store.ts';
import { Streams } from './stream.ts';

export interface ServerOptions {
  /** `127.0.0.1:7460`; port 0 = any free one. */
  readonly listen: string;
  readonly stateDir: string;
  readonly runDir: string;
  /** Default `server.sock` in the run folder. */
  readonly socketPath?: string;
  /** PostgreSQL >= 14; absent = an embedded one in the state folder. */
  readonly databaseUrl?: string;
  readonly requireIfMatch?: boolean;
  /** Default: 7 days or 1 GB, whichever is first. */
  readonly flowRetention?: FlowRetention;
  /** How long an identity of `labelsFrom` outlives the last report that has it; 10 minutes. */
  readonly unreportedMs?: number;
  /** Which registered workload is connected: it gets nothing. Default: the agent at `agent.sock` in the run folder is asked. */
  readonly labelOf?: LabelOf;
  /** How the kernel is asked who is connected; for tests. */
  readonly lookup?: PeerLookup;
  readonly migrationsDir?: string;
  /** Of the product, for /openapi.json. */
  readonly version?: string;
  readonly log: Log;
}

export interface RunningServer {
  /** `http://127.0.0.1:7460` */
  readonly url: string;
  readonly socketPath: string;
  readonly app: Hono<Env>;
  readonly context: ServerContext;
  /** Pid of the embedded PostgreSQL; undefined with DATABASE_URL. */
  readonly databasePid: number | undefined;
  close(): Promise<void>;
}

/** Connections that may wait to be accepted: a fleet reconnects at once after a restart. */
const BACKLOG = 4096;
const HOUSEKEEPING_MS = 3_600_000;

export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { stateDir, runDir, log } = options;
  const closers: (() => Promise<void> | void)[] = [];
  const close = async () => {
    for (const act of closers.splice(0).reverse()) await act();
  };
  try {
    const where = parseListen(options.listen);
    if (where === undefined) throw new Error(`Cannot listen on "${options.listen}": ${LISTEN_RULE}`);
    const { host, port } = where;
    mkdirSync(stateDir, { recursive: true, mode: 0o711 });
    mkdirSync(runDir, { recursive: true, mode: 0o755 });
    const lock = lockState(stateDir);
    closers.push(() => lock.release());

    const postgres =
      options.databaseUrl === undefined ? await startEmbeddedPostgres({ stateDir, runDir, log }) : undefined;
    if (postgres !== undefined) closers.push(() => postgres.close());
    const connection: Connection =
      postgres === undefined ? { url: options.databaseUrl! } : { socketDir: postgres.socketDir, user: postgres.user };
    await migrate(connection, options.migrationsDir ?? path.join(import.meta.dirname, '../../migrations'), log);
    const plain = openDatabase({ connection, max: 2, log });
    closers.push(() => plain.close());
    const reserve = postgres && openDiskReserve(stateDir, log);
    const db = reserve === undefined ? plain : withReserve(plain, reserve);

    const flows = new FlowStore({
      // One to write; a second, opened when it is needed, so that a question to all of them does not hold up what comes.
      db: openDatabase({ connection, max: 2, log, statementMs: 60_000 }),
      log,
      ...(options.flowRetention !== undefined && { retention: options.flowRetention }),
      ...(postgres !== undefined && { dataDir: stateDir }),
    });
    closers.push(() => flows.close());
    await flows.open();

    const socketPath = options.socketPath ?? path.join(runDir, 'server.sock');
    const metrics = new Metrics();
    const reports = await Reports.open(db);
    const store = await Store.open(db, log, () => reports.all);
    const hits = await RuleHits.open(flows.db, store, log);
    closers.push(hits.start());
    flows.counter = (flow) => hits.count(flow);
    const context: ServerContext = {
      store,
      hits,
      reports,
      flows,
      streams: new Streams(),
      asks: new Asks(),
      requireIfMatch: options.requireIfMatch ?? false,
    };
    closers.push(keepHouse(context, log));
    closers.push(startExpiry(store, log));
    closers.push(startDeriving(store, context.reports, log, options.unreportedMs));
    metrics.add(...serverGauges(context));
    if (postgres === undefined) closers.push(listenForWrites(connection, () => context.store.catchUp(), log));
    const app = createApp({
      operations: allOperations(context, metrics, options.version ?? '0'),
      access: {
        lookup: options.lookup ?? KERNEL_LOOKUP,
        socketPath,
        labelOf: options.labelOf ?? agentLabels(path.join(runDir, 'agent.sock')),
      },
      metrics,
      log,
    });

    const listener = getRequestListener(app.fetch as Parameters<typeof getRequestListener>[0]) as RequestListener;
    rmSync(socketPath, { force: true });
    const onSocket = await listen(createServer(listener), { path: socketPath });
    closers.push(() => stop(onSocket));
    // Everybody may connect and read; who it is decides about the rest.
    chmodSync(socketPath, 0o666);
    const onTcp = await listen(createServer(listener), { host, port });
    closers.push(() => stop(onTcp));
    closers.push(() => context.streams.endAll());
    return {
      url: `http://${host.includes(':') ? `[${host}]` : host}:${(onTcp.address() as AddressInfo).port}`,
      socketPath,
      app,
      context,
      get databasePid() {
        return postgres?.pid;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What falls due with time alone. */
function keepHouse({ store, reports }: ServerContext, log: Log): () => void {
  const timer = setInterval(() => {
    const isHeld = (id: number) => reports.endpointsWith(id).length > 0;
    store.forgetIdentities(Date.now(), isHeld).catch((error) => log('warn', `cannot forget identities: ${error}`));
  }, HOUSEKEEPING_MS).unref();
  return () => clearInterval(timer);
}

function listen(server: Server, where: { path: string } | { host: string; port: number }): Promise<Server> {
  const name = 'path' in where ? where.path : `${where.host}:${where.port}`;
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(
        new Error(`Cannot listen on ${name}: ${error.message}; choose another --listen or --run-dir`, { cause: error }),
      );
    });
    server.listen({ ...where, backlog: BACKLOG }, () => resolve(server));
  });
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
    // Who is still talking after a second is cut off: the state is in the database.
    setTimeout(() => server.closeAllConnections(), 1000).unref();
  });
}
