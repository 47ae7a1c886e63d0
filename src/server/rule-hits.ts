/**
 * How often each rule decided, and when last, counted from flows as they come. Counted in memory and added to the database
 * now and then: a crash loses what was counted in the last seconds, as it loses the flows. A rule is its name and what it
 * says: a change of either begins anew.
 */
import type { Flow } from '../api/flow.ts';
import type { RuleStatus } from '../api/policy.ts';
import { type Policy, policyRef } from '../core/policy.ts';
import { type Database, sql } from './database.ts';
import type { Log } from './log.ts';
import { hashText } from './plan.ts';
import { policyOf, type StoredPolicy } from './state.ts';
import type { Store } from './store.ts';

const FLUSH_MS = 2000;
/** Several servers may count: what the others counted is read so often. */
const REFRESH_MS = 60_000;

/** One per judgement: a close and a failure come after one. */
const JUDGED: ReadonlySet<string> = new Set(['connect', 'accept', 'deny', 'audit', 'exchange']);

interface Count {
  readonly rule: string;
  readonly hash: string;
  hits: number;
  lastMs: number;
}

interface Row extends Record<string, unknown> {
  readonly rule: string;
  readonly hash: string;
  readonly hits: number;
  readonly last_hit: Date;
}

export class RuleHits {
  readonly #db: Database;
  readonly #store: Store;
  readonly #log: Log;
  #stored = new Map<string, Count>();
  #pending = new Map<string, Count>();
  /** Rule → when it last became what it is, where that was seen. */
  readonly #since = new Map<string, number>();
  #flushing: Promise<void> = Promise.resolve();
  #refreshedAt = Date.now();

  /** @param db of the flows: policy is never held up by it */
  static async open(db: Database, store: Store, log: Log): Promise<RuleHits> {
    const hits = new RuleHits(db, store, log);
    await hits.#refresh();
    return hits;
  }

  private constructor(db: Database, store: Store, log: Log) {
    this.#db = db;
    this.#store = store;
    this.#log = log;
  }

  /** Counts from now on, until the returned function is called; that waits for the last to be stored. */
  start(): () => Promise<void> {
    const stop = this.#store.listen(({ changes }) => {
      for (const change of changes) {
        if (change.collection === 'policies' && change.type === 'MODIFIED') this.#note(change.before, change.object);
      }
    });
    const timer = setInterval(() => void this.flush(), FLUSH_MS).unref();
    return async () => {
      stop();
      clearInterval(timer);
      await this.flush();
    };
  }

  count(flow: Flow): void {
    if (flow.rule === undefined || !JUDGED.has(flow.event)) return;
    const timeMs = Date.parse(flow.time);
    for (const rule of new Set([flow.rule, ...(flow.rules ?? [])])) {
      if (isOtherSide(flow, rule)) continue;
      const stored = this.#store.state.policies.get(policyKeyOf(rule));
      const hash = stored === undefined ? undefined : hashesOf(stored).get(rule);
      // Judged by what the rule was before: it comes late.
      if (hash === undefined || timeMs < (this.#since.get(rule) ?? 0)) continue;
      const key = `${rule} ${hash}`;
      const count = this.#pending.get(key);
      if (count === undefined) this.#pending.set(key, { rule, hash, hits: 1, lastMs: timeMs });
      else {
        count.hits++;
        count.lastMs = Math.max(count.lastMs, timeMs);
      }
    }
  }

  /** Of each rule of a policy, and of its default deny, in the order of the document. */
  of(stored: StoredPolicy): RuleStatus[] {
    return [...hashesOf(stored)].map(([rule, hash]) => {
      const counts = [this.#stored, this.#pending].flatMap((map) => map.get(`${rule} ${hash}`) ?? []);
      const hits = counts.reduce((sum, count) => sum + count.hits, 0);
      const lastMs = Math.max(...counts.map((count) => count.lastMs));
      return { rule, hits, ...(hits > 0 && { lastHit: new Date(lastMs).toISOString() }) };
    });
  }

  /** Adds what was counted to the database; what cannot be stored now is kept. */
  flush(): Promise<void> {
    this.#flushing = this.#flushing
      .then(() => this.#flush())
      .catch((error) => {
        this.#log('warn', `cannot store the hits of ${this.#pending.size} rules, keeping them: ${String(error)}`);
      });
    return this.#flushing;
  }

  async #flush(): Promise<void> {
    if (Date.now() - this.#refreshedAt > REFRESH_MS) await this.#refresh();
    if (this.#pending.size === 0) return;
    // In one order everywhere, so that two servers never wait for each other.
    const rows = [...this.#pending.values()]
      .sort((a, b) => (a.rule < b.rule ? -1 : 1))
      .map(({ rule, hash, hits, lastMs }) => ({ rule, hash, hits, last_hit: new Date(lastMs).toISOString() }));
    const stored = await this.#db.query<Row>(sql`
      insert into rule_hits (rule, hash, hits, last_hit)
      select * from json_to_recordset(${JSON.stringify(rows)}::json) as r (rule text, hash text, hits bigint, last_hit timestamptz)
      on conflict (rule, hash) do update set hits = rule_hits.hits + excluded.hits,
        last_hit = greatest(rule_hits.last_hit, excluded.last_hit)
      returning rule, hash, hits, last_hit`);
    for (const row of rows) this.#subtract(`${row.rule} ${row.hash}`, row.hits);
    for (const row of stored) this.#stored.set(`${row.rule} ${row.hash}`, toCount(row));
  }

  /** More may have been counted while it was stored. */
  #subtract(key: string, hits: number): void {
    const count = this.#pending.get(key)!;
    if (count.hits === hits) this.#pending.delete(key);
    else count.hits -= hits;
  }

  async #refresh(): Promise<void> {
    this.#refreshedAt = Date.now();
    const rows = await this.#db.query<Row>(sql`select rule, hash, hits, last_hit from rule_hits`);
    const monthAgo = Date.now() - 30 * 86_400_000;
    const gone = rows.filter(({ rule, hash, last_hit }) => {
      const stored = this.#store.state.policies.get(policyKeyOf(rule));
      return last_hit.getTime() < monthAgo && (stored === undefined || hashesOf(stored).get(rule) !== hash);
    });
    if (gone.length > 0) {
      await this.#db.query(
        sql`delete from rule_hits where rule || ' ' || hash = any (${sql.param(
          gone.map(({ rule, hash }) => `${rule} ${hash}`),
        )}::text[])`,
      );
    }
    this.#stored = new Map(rows.map((row) => [`${row.rule} ${row.hash}`, toCount(row)]));
  }

  #note(before: StoredPolicy | undefined, now: StoredPolicy): void {
    const was = before === undefined ? new Map<string, string>() : hashesOf(before);
    for (const [rule, hash] of hashesOf(now)) if (was.get(rule) !== hash) this.#since.set(rule, Date.now());
  }
}

/** On one host both ends tell a connection, and an end without policy names the rule of the other: that one counts it. */
function isOtherSide({ event, direction }: Flow, rule: string): boolean {
  const side = / (?:specs\[\d+\]\.)?(ingress|egress)/.exec(rule)?.[1];
  return event !== 'deny' && event !== 'audit' && side !== undefined && side !== direction?.toLowerCase();
}

function toCount({ rule, hash, hits, last_hit }: Row): Count {
  return { rule, hash, hits, lastMs: last_hit.getTime() };
}

const DEFAULT_DENY = 'default deny of ';

/** `cnp/shop/backend ingress[0]`, `default deny of cnp/shop/backend` → `cnp/shop/backend` */
function policyKeyOf(rule: string): string {
  if (rule.startsWith(DEFAULT_DENY)) return rule.slice(DEFAULT_DENY.length);
  const space = rule.indexOf(' ');
  return space < 0 ? rule : rule.slice(0, space);
}

const hashes = new WeakMap<Policy, ReadonlyMap<string, string>>();
const NONE: ReadonlyMap<string, string> = new Map();

function hashesOf(stored: StoredPolicy): ReadonlyMap<string, string> {
  const policy = policyOf(stored);
  if (policy === undefined) return NONE;
  let known = hashes.get(policy);
  if (known === undefined) {
    const rules = policy.rules.map((rule): [string, string] => [rule.name, hashText(JSON.stringify(rule))]);
    const denies = policy.rules.some((rule) => rule.defaultDeny);
    known = new Map(denies ? [...rules, [`${DEFAULT_DENY}${policyRef(policy)}`, '']] : rules);
    hashes.set(policy, known);
  }
  return known;
}
