/**
 * The table `flows` is cut by time: a partition per day, made before it is needed, dropped as a whole when it is 7 days
 * old or when all of them are larger than 1 GB, oldest first. A partition that grows beyond an eighth of the limit ends
 * now and another begins, so that dropping the oldest never means dropping all.
 */
import { type Database, type Queries, sql } from './database.ts';

export interface FlowRetention {
  readonly maxAgeMs: number;
  readonly maxBytes: number;
}

export const DEFAULT_RETENTION: FlowRetention = { maxAgeMs: 7 * 86_400_000, maxBytes: 1024 ** 3 };

const DAY_MS = 86_400_000;

interface Partition {
  readonly name: string;
  readonly from: Date;
  readonly to: Date;
  readonly bytes: number;
}

export class FlowPartitions {
  readonly #db: Database;
  readonly #retention: FlowRetention;
  /** Days that have a partition, as ms since 1970. */
  #days = new Set<number>();
  bytes = 0;
  /** Flows that were dropped with their partition, ever. */
  dropped = 0;

  constructor(db: Database, retention: FlowRetention) {
    this.#db = db;
    this.#retention = retention;
  }

  /** Makes today's and tomorrow's partition, drops what is too old or more than `maxBytes`. */
  async maintain(now: Date, maxBytes = this.#retention.maxBytes): Promise<void> {
    await this.#db.transaction(async (tx) => {
      // Several servers may share the database.
      await tx.query(sql`select pg_advisory_xact_lock(${LOCK})`);
      const today = Math.floor(now.getTime() / DAY_MS) * DAY_MS;
      let partitions = await readPartitions(tx);
      const known = new Set(partitions.map(({ from }) => Math.floor(from.getTime() / DAY_MS) * DAY_MS));
      for (const day of [today, today + DAY_MS]) if (!known.has(day)) await createPartition(tx, day);
      const current = partitions.find(({ from, to }) => from <= now && now < to);
      if (current !== undefined && current.bytes > this.#retention.maxBytes / 8)
        await split(tx, current, partitions.length);
      partitions = await readPartitions(tx);
      await this.#dropOld(tx, partitions, now, maxBytes);
      this.#days = new Set((await readPartitions(tx)).map(({ from }) => Math.floor(from.getTime() / DAY_MS) * DAY_MS));
    });
  }

  /** The time at which a flow is filed: its own, or `now` when no partition takes it (a clock that is days off). */
  fileAt(time: string, now: Date): string {
    const day = Math.floor(Date.parse(time) / DAY_MS) * DAY_MS;
    return this.#days.has(day) ? time : now.toISOString();
  }

  async #dropOld(tx: Queries, partitions: readonly Partition[], now: Date, maxBytes: number): Promise<void> {
    const oldest = now.getTime() - this.#retention.maxAgeMs;
    let bytes = partitions.reduce((sum, partition) => sum + partition.bytes, 0);
    let dropped = 0;
    for (const { name, to, from, bytes: size } of partitions) {
      const isTooOld = to.getTime() <= oldest;
      if (!isTooOld && (bytes <= maxBytes || to > now || from > now)) continue;
      const table = sql.identifier(name);
      const [row] = await tx.query<{ n: number }>(sql`select count(*) as n from ${table}`);
      await tx.query(sql`drop table ${table}`);
      dropped += row?.n ?? 0;
      bytes -= size;
    }
    const [total] = await tx.query<{ n: number }>(sql`
      insert into settings (key, value) values ('flowsDropped', to_jsonb(${dropped}::bigint))
      on conflict (key) do update set value = to_jsonb((settings.value #>> '{}')::bigint + ${dropped}::bigint)
      returning (value #>> '{}')::bigint as n`);
    this.dropped = total?.n ?? 0;
    this.bytes = bytes;
  }
}

const LOCK = 0x666c_6f77;

/** Oldest first. */
async function readPartitions(db: Queries): Promise<Partition[]> {
  const rows = await db.query<{ name: string; bound: string; bytes: number }>(sql`
    select c.relname as name, pg_get_expr(c.relpartbound, c.oid) as bound, pg_total_relation_size(c.oid) as bytes
    from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'flows'::regclass`);
  return rows
    .map(({ name, bound, bytes }) => {
      const [from = '', to = ''] = [...bound.matchAll(/'([^']+)'/g)].map((match) => match[1]!);
      return { name, from: new Date(from), to: new Date(to), bytes };
    })
    .sort((a, b) => a.from.getTime() - b.from.getTime());
}

async function createPartition(tx: Queries, day: number): Promise<void> {
  const from = new Date(day).toISOString();
  const to = new Date(day + DAY_MS).toISOString();
  await tx.query(sql`create table ${sql.identifier(`flows_${from.slice(0, 10).replaceAll('-', '')}`)}
    partition of flows for values from (${literal(from)}) to (${literal(to)})`);
}

/** Ends a partition after the last flow that it holds, and begins another there. */
async function split(tx: Queries, { name, from, to }: Partition, index: number): Promise<void> {
  const table = sql.identifier(name);
  const [row] = await tx.query<{ at: Date }>(sql`
    select date_trunc('milliseconds', greatest(max(time), now())) + interval '1 ms' as at from ${table}`);
  const at = row!.at;
  if (at >= to) return;
  await tx.query(sql`alter table flows detach partition ${table}`);
  await tx.query(sql`alter table flows attach partition ${table}
    for values from (${literal(from.toISOString())}) to (${literal(at.toISOString())})`);
  const next = sql.identifier(`flows_${at.toISOString().slice(0, 10).replaceAll('-', '')}_${index}_${at.getTime()}`);
  await tx.query(sql`create table ${next}
    partition of flows for values from (${literal(at.toISOString())}) to (${literal(to.toISOString())})`);
}

/** DDL takes no parameters; what comes here was made by `toISOString`. */
function literal(time: string) {
  return sql.raw(`'${time}'`);
}
