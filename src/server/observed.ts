/** What was seen between two times, as kinds of connection with their numbers: for simulating, and for suggesting policy. */
import { type SQL, sql } from 'drizzle-orm/sql/sql';
import { RESERVED } from '../core/identity.ts';
import type { Database } from './database.ts';

export interface ObservedEnd {
  readonly workload?: string;
  readonly identity?: number;
  /** Only where the end is no workload. */
  readonly ip?: string;
}

/** Flows that are alike: the same ends, port and verdict, told by the same side. */
export interface Observed {
  readonly from: ObservedEnd;
  readonly to: ObservedEnd;
  readonly protocol: string;
  readonly port?: number;
  /** ICMP. */
  readonly icmpType?: number;
  readonly direction: 'INGRESS' | 'EGRESS';
  readonly verdict: string;
  /** Whose processes they were, where an end is a host itself. */
  readonly host?: string;
  readonly flows: number;
  readonly first: string;
  readonly last: string;
}

export interface ObservedRange {
  readonly since: Date;
  readonly until: Date;
  /** `namespace/name`, or `namespace/*`; either end. */
  readonly workload?: string;
}

/** Kinds of connection that are read at most. */
export const MOST_KINDS = 50_000;

/** Events that stand for a judgement; a close and a failure come after one. */
const JUDGED = ['connect', 'accept', 'deny', 'audit', 'exchange'];

interface Row extends Record<string, unknown> {
  readonly source_workload: string | null;
  readonly destination_workload: string | null;
  readonly source_identity: number | null;
  readonly destination_identity: number | null;
  readonly source_ip: string | null;
  readonly destination_ip: string | null;
  readonly port: number | null;
  readonly protocol: string | null;
  readonly direction: 'INGRESS' | 'EGRESS' | null;
  readonly icmp: number | null;
  readonly verdict: string;
  readonly host: string | null;
  readonly flows: number;
  readonly first: Date;
  readonly last: Date;
}

export async function readObserved(
  db: Database,
  range: ObservedRange,
): Promise<{ kinds: Observed[]; isWhole: boolean }> {
  const rows = await db.query<Row>(sql`
    select source_workload, destination_workload, source_identity, destination_identity, port, verdict,
      body->>'protocol' as protocol, body->>'direction' as direction, (body->'icmp'->>'type')::int as icmp,
      case when source_workload is null then body->'source'->>'ip' end as source_ip,
      case when destination_workload is null then body->'destination'->>'ip' end as destination_ip,
      case when ${RESERVED.host} in (source_identity, destination_identity) then host end as host,
      count(*)::int as flows, min(time) as first, max(time) as last
    from flows
    where time >= ${range.since.toISOString()}::timestamptz and time < ${range.until.toISOString()}::timestamptz
      and verdict is not null and event = any (${sql.param(JUDGED)}::text[])
      -- A TCP connection in audit is told a second time when it is made.
      and (event <> 'audit' or body->>'protocol' is distinct from 'TCP') and ${withWorkload(range.workload)}
    group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
    order by flows desc limit ${MOST_KINDS + 1}`);
  return { kinds: rows.slice(0, MOST_KINDS).map(toObserved), isWhole: rows.length <= MOST_KINDS };
}

function withWorkload(workload: string | undefined): SQL {
  if (workload === undefined) return sql`true`;
  if (!workload.endsWith('/*')) return sql`(source_workload = ${workload} or destination_workload = ${workload})`;
  const prefix = workload.slice(0, -1);
  return sql`(starts_with(source_workload, ${prefix}) or starts_with(destination_workload, ${prefix}))`;
}

function toObserved(row: Row): Observed {
  return {
    from: toEnd(row.source_workload, row.source_identity, row.source_ip),
    to: toEnd(row.destination_workload, row.destination_identity, row.destination_ip),
    protocol: row.protocol ?? '',
    ...(row.port !== null && { port: row.port }),
    ...(row.icmp !== null && { icmpType: row.icmp }),
    direction: row.direction ?? 'EGRESS',
    verdict: row.verdict,
    ...(row.host !== null && { host: row.host }),
    flows: row.flows,
    first: row.first.toISOString(),
    last: row.last.toISOString(),
  };
}

function toEnd(workload: string | null, identity: number | null, ip: string | null): ObservedEnd {
  return {
    ...(workload !== null && { workload }),
    ...(identity !== null && { identity }),
    ...(ip !== null && { ip }),
  };
}
