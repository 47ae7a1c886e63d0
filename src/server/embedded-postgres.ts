/**
 * The server's own PostgreSQL: a child process on a unix socket, under a uid of its own when the server is root.
 * Durable (fsync on), small (16 MB of buffers), restarted when it dies, stopped with the server. A postmaster that
 * outlived a killed server is stopped first; it recovers from its log like after any crash.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { chmod, chown, mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from './log.ts';
import { databaseUid, prepareDataDir, stopOrphan } from './postgres-data.ts';
import { loadPostgresBinaries } from './postgres-package.ts';

export interface EmbeddedPostgres {
  /** Folder of the socket `.s.PGSQL.5432`; open to the database's uid and root only. */
  readonly socketDir: string;
  readonly user: string;
  readonly isUp: boolean;
  /** Pid of the postmaster; changes when it is restarted. */
  readonly pid: number | undefined;
  close(): Promise<void>;
}

export interface EmbeddedPostgresOptions {
  readonly stateDir: string;
  readonly runDir: string;
  readonly log: Log;
}

export const DATABASE_USER = 'postern';

/** sun_path holds 107 bytes. */
const MAX_SOCKET_PATH = 107;
const STOP_WAIT_MS = 10_000;

/** Never written to postgresql.conf, so that a new version of the server needs no migration of it. */
const SETTINGS = {
  listen_addresses: '',
  fsync: 'on',
  shared_buffers: '16MB',
  max_connections: '20',
  io_method: 'sync',
  jit: 'off',
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_wal_size: '128MB',
  min_wal_size: '32MB',
  max_logical_replication_workers: '0',
  max_parallel_workers: '0',
  autovacuum_max_workers: '1',
  autovacuum_worker_slots: '1',
  log_checkpoints: 'off',
  logging_collector: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  cluster_name: 'postern',
};

export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { stateDir, runDir, log } = options;
  const home = path.join(stateDir, 'postgres');
  const dataDir = path.join(home, 'data');
  const socketDir = path.join(runDir, 'pg');
  const socket = path.join(socketDir, '.s.PGSQL.5432');
  if (Buffer.byteLength(socket) > MAX_SOCKET_PATH) {
    throw new Error(`Cannot use socket "${socket}": longer than ${MAX_SOCKET_PATH} bytes, choose a shorter --run-dir`);
  }
  await mkdir(home, { recursive: true, mode: 0o711 });
  const uid = await databaseUid(dataDir);
  const binaries = await loadPostgresBinaries(stateDir, uid);
  await stopOrphan(dataDir, log);
  await prepareDataDir({ dataDir, uid, binaries, user: DATABASE_USER, log });
  await mkdir(socketDir, { recursive: true });
  await chmod(socketDir, 0o700);
  if (uid !== undefined) await chown(socketDir, uid, uid);

  const settings = Object.entries(SETTINGS).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const arguments_ = ['-D', dataDir, '-k', socketDir, ...settings];
  const supervisor = new Supervisor(
    () =>
      // Its own session: Ctrl-C reaches the server, which stops the database after its last write.
      spawn(binaries.postgres, arguments_, {
        ...(uid !== undefined && { uid, gid: uid }),
        cwd: dataDir,
        detached: true,
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { LANG: 'C', LC_ALL: 'C', TZ: 'UTC', PGDATA: dataDir },
      }),
    log,
  );
  await supervisor.start();
  return {
    socketDir,
    user: DATABASE_USER,
    get isUp() {
      return supervisor.isUp;
    },
    get pid() {
      return supervisor.child?.pid;
    },
    async close() {
      await supervisor.stop();
      await rm(socketDir, { recursive: true, force: true });
    },
  };
}

/** Keeps one child process alive. Up = it said that it is ready. */
class Supervisor {
  readonly #spawn: () => ChildProcess;
  readonly #log: Log;
  readonly #events = new EventEmitter();
  child: ChildProcess | undefined;
  isUp = false;
  #stopping = false;
  #backoffMs = 200;
  #lastLines: string[] = [];

  constructor(spawnChild: () => ChildProcess, log: Log) {
    this.#spawn = spawnChild;
    this.#log = log;
  }

  /** Resolves when it is ready; rejects, with its own last words, when the first start fails three times. */
  async start(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      if (await this.#launch()) return;
      if (attempt === 3) {
        this.#stopping = true;
        throw new Error(`Cannot start the embedded PostgreSQL: ${this.#lastLines.join(' / ') || 'it said nothing'}`);
      }
      // Backends of a killed postmaster hold its shared memory until they notice.
      await delay(500 * attempt);
    }
  }

  async #launch(): Promise<boolean> {
    const child = this.#spawn();
    this.child = child;
    this.#lastLines = [];
    let ready = false;
    let rest = '';
    child.stderr!.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        if (line.includes('database system is ready to accept connections')) {
          ready = true;
          this.isUp = true;
          this.#events.emit('settled');
        }
        const isOurDoing = this.#stopping && line.includes('terminating connection due to administrator command');
        if (/\b(ERROR|FATAL|PANIC|WARNING):/.test(line) && !isOurDoing)
          this.#log('warn', `postgres: ${line.replace(/^.*?\] /, '')}`);
        this.#lastLines = [...this.#lastLines.slice(-4), line];
      }
    });
    child.once('error', (error) => {
      this.#lastLines = [error.message];
      this.#events.emit('settled');
    });
    child.once('exit', (code, signal) => {
      this.isUp = false;
      this.#events.emit('settled');
      if (ready && !this.#stopping) void this.#restart(`${signal ?? `exit code ${code}`}`);
    });
    await once(this.#events, 'settled');
    return ready;
  }

  async #restart(why: string): Promise<void> {
    this.#log('error', `the embedded PostgreSQL died (${why}), starting it again; policy in the kernel stays`);
    const upSince = Date.now();
    while (!this.#stopping) {
      await delay(this.#backoffMs);
      if (this.#stopping) return;
      if (await this.#launch()) {
        this.#log('info', `the embedded PostgreSQL is up again after ${Date.now() - upSince} ms`);
        this.#backoffMs = 200;
        return;
      }
      this.#backoffMs = Math.min(this.#backoffMs * 2, 10_000);
      this.#log('error', `the embedded PostgreSQL does not start: ${this.#lastLines.join(' / ')}`);
    }
  }

  /** Fast shutdown: open transactions are rolled back, a checkpoint is written. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const child = this.child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
      child.kill(signal);
      const done = await Promise.race([exited.then(() => true), delay(STOP_WAIT_MS, false, { ref: false })]);
      if (done) return;
      this.#log('warn', `the embedded PostgreSQL does not stop on ${signal}`);
    }
  }
}
