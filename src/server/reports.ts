/**
 * What the hosts last said of themselves: kept in memory for every read, in the database for the next start. Observed
 * state, not desired state: it has no revision.
 */
import type { Drift } from '../api/drift.ts';
import type { Endpoint } from '../api/endpoint.ts';
import { countFindings } from '../api/findings.ts';
import type { Host, HostReport } from '../api/host.ts';
import type { NamedPort } from '../core/named-port.ts';
import { type Database, sql } from './database.ts';
import type { State } from './state.ts';

/** A host that has not reported for so long is `stale`. */
export const STALE_AFTER_MS = 60_000;

export interface SeenReport {
  readonly name: string;
  readonly report: HostReport;
  readonly seenAt: string;
}

interface Row extends Record<string, unknown> {
  readonly name: string;
  readonly report: HostReport;
  /** Told apart from the report, and seldom; null = never. */
  readonly findings: HostReport['findings'] | null;
  readonly seen_at: Date;
}

type Listener = (now: SeenReport | undefined, before: SeenReport | undefined) => void;

export class Reports {
  readonly #db: Database;
  readonly #seen = new Map<string, SeenReport>();
  readonly #listeners = new Set<Listener>();
  #index: EndpointIndex | undefined;

  static async open(db: Database): Promise<Reports> {
    const reports = new Reports(db);
    const rows = await db.query<Row>(sql`select * from hosts`);
    for (const { name, report, findings, seen_at } of rows) {
      const whole = findings === null ? report : { ...report, findings };
      reports.#seen.set(name, { name, report: whole, seenAt: seen_at.toISOString() });
    }
    return reports;
  }

  private constructor(db: Database) {
    this.#db = db;
  }

  get all(): ReadonlyMap<string, SeenReport> {
    return this.#seen;
  }

  get endpoints(): readonly Endpoint[] {
    return this.#indexed.all;
  }

  endpointsOf(workload: string): readonly Endpoint[] {
    return this.#indexed.byWorkload.get(workload) ?? [];
  }

  driftsOf(workload: string): readonly Drift[] {
    return this.#indexed.driftsByWorkload.get(workload) ?? [];
  }

  waitingOf(workload: string): readonly Waiting[] {
    return this.#indexed.waitingByWorkload.get(workload) ?? [];
  }

  endpointsWith(identity: number): readonly Endpoint[] {
    return this.#indexed.byIdentity.get(identity) ?? [];
  }

  /** What the live instances of an identity listen on: ports that a name may stand for. */
  listeningOf(identity: number): NamedPort[] {
    const sockets = this.endpointsWith(identity).flatMap(({ listening = [] }) => listening);
    return sockets.map(({ port, protocol }) => ({ port, protocol: protocol as NamedPort['protocol'] }));
  }

  /** Told at once; the database follows, so a report is never older than what a reader sees. */
  async put(name: string, said: HostReport): Promise<void> {
    const before = this.#seen.get(name);
    const { findings: told, ...rest } = said;
    const findings = told ?? before?.report.findings;
    const report = findings === undefined ? rest : { ...rest, findings };
    const now = { name, report, seenAt: new Date().toISOString() };
    this.#seen.set(name, now);
    this.#index = undefined;
    for (const listener of this.#listeners) listener(now, before);
    const found = told === undefined ? null : JSON.stringify(told);
    await this.#db.query(sql`insert into hosts (name, report, findings, seen_at)
      values (${name}, ${JSON.stringify(rest)}::json, ${found}::json, ${now.seenAt}::timestamptz)
      on conflict (name) do update set report = excluded.report, seen_at = excluded.seen_at,
        findings = coalesce(excluded.findings, hosts.findings)`);
  }

  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get #indexed(): EndpointIndex {
    this.#index ??= indexEndpoints(this.#seen.values());
    return this.#index;
  }
}

/** A clause that cannot match on a host yet. */
export type Waiting = NonNullable<HostReport['waiting']>[number] & { readonly host: string };

interface EndpointIndex {
  readonly all: readonly Endpoint[];
  readonly byWorkload: ReadonlyMap<string, readonly Endpoint[]>;
  readonly byIdentity: ReadonlyMap<number, readonly Endpoint[]>;
  readonly driftsByWorkload: ReadonlyMap<string, readonly Drift[]>;
  readonly waitingByWorkload: ReadonlyMap<string, readonly Waiting[]>;
}

function indexEndpoints(reports: Iterable<SeenReport>): EndpointIndex {
  const list = [...reports];
  const all = list.flatMap(({ report }) => report.endpoints);
  const drifts = list.flatMap(({ report }) => report.drifts ?? []);
  const waiting = list.flatMap(({ name, report }) => (report.waiting ?? []).map((one) => ({ ...one, host: name })));
  return {
    all,
    byWorkload: Map.groupBy(all, (endpoint) => endpoint.workload),
    byIdentity: Map.groupBy(all, (endpoint) => endpoint.identity),
    driftsByWorkload: Map.groupBy(drifts, ({ workload }) => workload),
    waitingByWorkload: Map.groupBy(waiting, ({ workload }) => workload),
  };
}

export function toHost({ name, report, seenAt }: SeenReport, state: State, nowMs: number): Host {
  const {
    state: said,
    mode = 'enforce',
    settings,
    endpoints,
    discover: _discover,
    drifts: _drifts,
    waiting: _waiting,
    findings,
    ...observed
  } = report;
  const isBehind = observed.appliedRevision < state.revision;
  return {
    name,
    mode,
    ...(settings !== undefined && { settings }),
    status: {
      state: nowMs - Date.parse(seenAt) > STALE_AFTER_MS ? 'stale' : said,
      lastSeen: seenAt,
      policyAgeMs: isBehind ? Math.max(0, nowMs - Date.parse(seenAt)) : 0,
      ...observed,
      endpoints: endpoints.length,
      ...(findings !== undefined && { findings: countFindings(findings) }),
    },
  };
}
