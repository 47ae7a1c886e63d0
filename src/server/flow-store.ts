/**
 * Flows on their way in: to those who follow, at once, and to the database, in batches on a connection of their own. The
 * queue between is bounded; what does not fit is counted and shown as a "lost" event. Nothing here is ever waited for
 * by a policy write.
 */

import { setTimeout as delay } from 'node:timers/promises';
import type { Flow } from '../api/flow.ts';
import { type Database, sql } from './database.ts';
import { DiskRoom } from './disk-room.ts';
import type { FlowBatch } from './flow-batch.ts';
import type { FlowFilter } from './flow-filter.ts';
import { FlowHub } from './flow-hub.ts';
import { DEFAULT_RETENTION, FlowPartitions, type FlowRetention } from './flow-partition.ts';
import type { Log } from './log.ts';

export interface FlowStoreOptions {
  /** A pool of its own. */
  readonly db: Database;
  readonly log: Log;
  readonly retention?: FlowRetention;
  /** Where the embedded database keeps its files: flows are not stored when its disk is nearly full. */
  readonly dataDir?: string;
}

interface Waiting {
  readonly id: number;
  readonly time: string;
  readonly flow: Flow;
  readonly json: string;
}

/** JSON bytes that may wait for the database: about 10,000 flows. */
const QUEUE_BYTES = 8 * 1024 * 1024;
const BATCH = 2000;
const FLUSH_MS = 2000;
const MAINTAIN_MS = 60_000;
/** Partitions are looked at again after so many bytes, however soon that is. */
const MAINTAIN_BYTES = 32 * 1024 * 1024;

export class FlowStore {
  readonly hub = new FlowHub();
  readonly partitions: FlowPartitions;
  /** Told of each flow; never waits. */
  counter: ((flow: Flow) => void) | undefined;
  readonly #db: Database;
  readonly #log: Log;
  readonly #disk: DiskRoom;
  #queue: Waiting[] = [];
  #queued = 0;
  #nextId = Date.now() * 1000;
  #running: Promise<void> | undefined;
  #closed = new AbortController();
  #maintainedAt = 0;
  #sinceMaintained = 0;
  #unshown = 0;
  taken = 0;
  stored = 0;
  lost = 0;

  constructor({ db, log, retention = DEFAULT_RETENTION, dataDir }: FlowStoreOptions) {
    this.#db = db;
    this.#log = log;
    this.#disk = new DiskRoom(dataDir, log);
    this.partitions = new FlowPartitions(db, retention);
  }

  /** Makes the partitions; throws when the database does not let it. */
  async open(): Promise<void> {
    await this.#maintain();
  }

  /** Never waits. */
  take({ host, flows, lost }: FlowBatch): { taken: number; lost: number } {
    if (lost > 0) this.#add(lostEvent(host, lost, 'agent'), host);
    const before = this.lost;
    for (const flow of flows) {
      this.counter?.(flow);
      this.#add({ ...flow, host: flow.host ?? host }, host);
    }
    this.taken += flows.length;
    this.#start();
    return { taken: flows.length, lost: this.lost - before };
  }

  /** The newest `limit` flows, of those before `before` and of ids up to `upTo`; oldest first. */
  async read(filter: FlowFilter, limit: number, { before, upTo }: FlowRange = {}): Promise<FlowPage> {
    if (before === undefined) await this.flush();
    const conditions = [filter.where ?? sql`true`];
    if (upTo !== undefined) conditions.push(sql`id <= ${upTo}::bigint`);
    if (before !== undefined) {
      conditions.push(sql`(time, id) < (to_timestamp(0) + ${before.us} * interval '1 us', ${before.id}::bigint)`);
    }
    const rows = await this.#db.query<{ body: Flow; us: number; id: number }>(sql`
      select body, id, (extract(epoch from time) * 1000000)::bigint as us from flows
      where ${sql.join(conditions, sql` and `)} order by time desc, id desc limit ${limit + 1}`);
    const shown = rows.slice(0, limit).reverse();
    const first = shown[0];
    const next = rows.length > limit && first !== undefined ? { us: first.us, id: first.id } : undefined;
    return { flows: shown.map(({ body }) => body), next };
  }

  /** The connection that flows have to themselves, for questions to what is stored. */
  get db(): Database {
    return this.#db;
  }

  /** Id of the newest flow that was taken. */
  get newestId(): number {
    return this.#nextId - 1;
  }

  /** Waits until what has been taken is stored; not for longer than a reader would. */
  async flush(): Promise<void> {
    const upTo = this.newestId;
    const until = Date.now() + FLUSH_MS;
    while (this.#running !== undefined && (this.#queue[0]?.id ?? upTo + 1) <= upTo && Date.now() < until) {
      await Promise.race([this.#running, delay(10)]);
    }
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#running;
    await this.#db.close();
  }

  #add(flow: Flow, host: string): void {
    const json = JSON.stringify(flow);
    const id = this.#nextId++;
    this.hub.publish(flow, json);
    if (this.#queued + json.length > QUEUE_BYTES) {
      this.lost++;
      this.#unshown++;
      return;
    }
    this.#queued += json.length;
    this.#queue.push({ id, time: flow.time, flow: flow.host === undefined ? { ...flow, host } : flow, json });
  }

  #start(): void {
    this.#running ??= this.#drain().finally(() => {
      this.#running = undefined;
    });
  }

  async #drain(): Promise<void> {
    let backoffMs = 250;
    while (this.#queue.length > 0) {
      const batch = this.#queue.slice(0, BATCH);
      try {
        if (Date.now() - this.#maintainedAt > MAINTAIN_MS || this.#sinceMaintained > MAINTAIN_BYTES)
          await this.#maintain();
        const hasRoom = await this.#disk.hasRoom(() => this.partitions.maintain(new Date(), this.partitions.bytes / 2));
        if (hasRoom) await this.#insert(batch);
        else this.#lose(batch.length);
        this.#forget(batch);
        if (hasRoom) this.#showLoss();
        backoffMs = 250;
      } catch (error) {
        this.#log('warn', `cannot store flows, ${this.#queue.length} wait, ${this.lost} lost so far: ${String(error)}`);
        if (this.#closed.signal.aborted) return;
        await delay(backoffMs, undefined, { signal: this.#closed.signal }).catch(() => undefined);
        backoffMs = Math.min(backoffMs * 2, 30_000);
      }
    }
  }

  #forget(batch: readonly Waiting[]): void {
    this.#queue = this.#queue.slice(batch.length);
    for (const { json } of batch) {
      this.#queued -= json.length;
      this.#sinceMaintained += json.length;
    }
  }

  #lose(n: number): void {
    this.lost += n;
    this.#unshown += n;
  }

  /** What was lost is itself an event, as soon as events are stored again. */
  #showLoss(): void {
    if (this.#unshown === 0 || this.#queued > QUEUE_BYTES / 2) return;
    const event = lostEvent('server', this.#unshown, 'server');
    this.#unshown = 0;
    this.#add(event, 'server');
  }

  async #insert(batch: readonly Waiting[]): Promise<void> {
    const now = new Date();
    const rows = batch.map(({ id, time, flow, json }) => {
      const { source, destination } = flow;
      const columns = JSON.stringify({
        time: this.partitions.fileAt(time, now),
        id,
        host: flow.host ?? '',
        event: flow.event,
        verdict: flow.verdict,
        source_workload: source?.workload,
        destination_workload: destination?.workload,
        source_identity: source?.identity,
        destination_identity: destination?.identity,
        port: destination?.port,
      });
      return `${columns.slice(0, -1)},"body":${json}}`;
    });
    await this.#db.query(sql`
      insert into flows (time, id, host, event, verdict, source_workload, destination_workload,
        source_identity, destination_identity, port, body)
      select * from json_to_recordset(${`[${rows.join(',')}]`}::json) as r (time timestamptz, id bigint, host text,
        event text, verdict text, source_workload text, destination_workload text,
        source_identity bigint, destination_identity bigint, port int, body json)`);
    this.stored += batch.length;
  }

  async #maintain(): Promise<void> {
    const before = this.partitions.dropped;
    await this.partitions.maintain(new Date());
    const dropped = this.partitions.dropped - before;
    if (dropped > 0 && this.#maintainedAt > 0)
      this.#log('info', `dropped ${dropped} old flows (7 days or 1 GB by default)`);
    this.#maintainedAt = Date.now();
    this.#sinceMaintained = 0;
  }
}

export interface FlowRange {
  readonly before?: FlowPosition;
  readonly upTo?: number;
}

/** Where a page begins: microseconds since 1970, and the id among flows of that microsecond. */
export interface FlowPosition {
  readonly us: number;
  readonly id: number;
}

export interface FlowPage {
  readonly flows: readonly Flow[];
  readonly next: FlowPosition | undefined;
}

export function lostEvent(host: string, count: number, where: string): Flow {
  return { time: new Date().toISOString(), event: 'lost', host, count, where };
}
