/**
 * Filters of `GET /v1/flows`, twice: as a predicate for the live stream and as SQL for what is stored. Both are made
 * from one list of conditions, each of which says both (test/server/flow-filter.test.ts holds them equal). Several
 * values of one filter are OR, several filters are AND. A "lost" event passes every filter but host, event and time:
 * whoever asks must see that something is missing.
 */

import { type SQL, sql } from 'drizzle-orm/sql/sql';
import { DIRECTIONS, FLOW_EVENTS, FLOW_PROTOCOLS, type Flow, type FlowEnd, VERDICTS } from '../api/flow.ts';
import { type EndCondition, endCondition, processCondition } from './flow-end.ts';
import type { Parameter } from './operation.ts';
import { badParameter } from './query.ts';

export const FLOW_FILTERS = {
  workload: { description: 'namespace/name of either end; `*` = any part', example: 'shop/*' },
  from: {
    description: 'Source: workload, address, prefix, label, identity or reserved name',
    example: 'shop/frontend',
  },
  to: { description: 'Destination, like from', example: '10.0.0.0/8' },
  identity: { description: 'Number of either end' },
  label: { description: 'Label of either end', example: 'app=web' },
  verdict: { description: VERDICTS.join(', ') },
  port: { description: 'Port of the destination' },
  protocol: { description: 'TCP, UDP, ICMP, …' },
  direction: { description: DIRECTIONS.join(', ') },
  host: { description: 'Host that saw it' },
  process: { description: 'Pid, path or name of the program at either end', example: 'curl' },
  dropReason: { description: 'Such as POLICY_DENIED' },
  rule: { description: 'Rule, or policy', example: 'cnp/shop/backend' },
  event: { description: FLOW_EVENTS.join(', ') },
  since: { description: 'Not before: a time, or how long ago', example: '15m' },
  until: { description: 'Before: a time, or how long ago' },
} as const satisfies Record<string, Parameter>;

export interface FlowFilter {
  readonly matches: (flow: Flow) => boolean;
  /** Conditions on the table `flows`; undefined = all. */
  readonly where: SQL | undefined;
  readonly since: Date | undefined;
}

interface Condition {
  readonly matches: (flow: Flow) => boolean;
  readonly where: SQL;
  /** Also for "lost" events. */
  readonly always?: true;
}

export function parseFlowFilter(parameters: Readonly<Record<string, string>>, now: Date): FlowFilter {
  const conditions: Condition[] = [];
  for (const [name, text] of Object.entries(parameters)) {
    if (!(name in FLOW_FILTERS) || name === 'since' || name === 'until') continue;
    const values = text.split(',').map((value) => value.trim());
    conditions.push(any(values.map((value) => READERS[name as keyof typeof READERS](value))));
  }
  const since = parameters.since === undefined ? undefined : parseTime('since', parameters.since, now);
  const until = parameters.until === undefined ? undefined : parseTime('until', parameters.until, now);
  if (since !== undefined) conditions.push(timeCondition(since, 'from'));
  if (until !== undefined) conditions.push(timeCondition(until, 'before'));
  const lostToo = conditions.filter((condition) => condition.always === true);
  const others = conditions.filter((condition) => condition.always !== true);
  return {
    since,
    matches: (flow) =>
      lostToo.every((condition) => condition.matches(flow)) &&
      (flow.event === 'lost' || others.every((condition) => condition.matches(flow))),
    where: and([
      ...lostToo.map((condition) => condition.where),
      ...(others.length === 0 ? [] : [sql`(event = 'lost' or ${and(others.map((condition) => condition.where))})`]),
    ]),
  };
}

const READERS = {
  workload: (text: string) => eitherEnd(endCondition('workload', text)),
  from: (text: string) => oneEnd('source', endCondition('from', text)),
  to: (text: string) => oneEnd('destination', endCondition('to', text)),
  identity: (text: string) => eitherEnd(endCondition('identity', text)),
  label: (text: string) => eitherEnd(endCondition('label', text)),
  verdict: (text: string) => column('verdict', word('verdict', text.toUpperCase(), VERDICTS)),
  direction: (text: string) => field('direction', word('direction', text.toUpperCase(), DIRECTIONS)),
  protocol: (text: string) => any(protocolNames(text).map((name) => field('protocol', name))),
  dropReason: (text: string) => field('dropReason', text.toUpperCase()),
  event: (text: string): Condition => ({
    ...column('event', word('event', text.toLowerCase(), FLOW_EVENTS)),
    always: true,
  }),
  host: (text: string): Condition => ({ ...column('host', text), always: true }),
  port(text: string): Condition {
    const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
    if (!(port <= 65535)) throw badParameter('port', text, 'must be a port, 0..65535');
    return { matches: (flow) => flow.destination?.port === port, where: sql`port = ${port}` };
  },
  process: (text: string) => eitherEnd(processCondition(text)),
  rule(text: string): Condition {
    const names = (rule: string) => rule === text || rule.startsWith(`${text} `) || rule === `default deny of ${text}`;
    const asSql = (rule: SQL) =>
      sql`(${rule} = ${text} or starts_with(${rule}, ${`${text} `}) or ${rule} = ${`default deny of ${text}`})`;
    return {
      matches: (flow) => [...(flow.rule === undefined ? [] : [flow.rule]), ...(flow.rules ?? [])].some(names),
      where: sql`(${asSql(sql`body->>'rule'`)} or exists (
        select from json_array_elements_text(body->'rules') as r (rule) where ${asSql(sql`rule`)}))`,
    };
  },
};

function column(name: 'verdict' | 'event' | 'host', value: string): Condition {
  return { matches: (flow) => flow[name] === value, where: sql`${sql.raw(name)} = ${value}` };
}

function field(name: 'direction' | 'protocol' | 'dropReason', value: string): Condition {
  return { matches: (flow) => flow[name] === value, where: sql`body->>${name} = ${value}` };
}

function oneEnd(side: 'source' | 'destination', { matches, where }: EndCondition): Condition {
  return { matches: (flow) => endMatches(flow[side], matches), where: where(side) };
}

function eitherEnd({ matches, where }: EndCondition): Condition {
  return {
    matches: (flow) => endMatches(flow.source, matches) || endMatches(flow.destination, matches),
    where: sql`(${where('source')} or ${where('destination')})`,
  };
}

function endMatches(end: FlowEnd | undefined, matches: (end: FlowEnd) => boolean): boolean {
  return end !== undefined && matches(end);
}

function any(conditions: readonly Condition[]): Condition {
  const [first] = conditions;
  if (conditions.length === 1 && first !== undefined) return first;
  return {
    matches: (flow) => conditions.some((condition) => condition.matches(flow)),
    // A comparison with what is not there is unknown in SQL, and false in "or".
    where: sql`(${sql.join(
      conditions.map((condition) => condition.where),
      sql` or `,
    )})`,
    ...(first?.always === true && { always: true }),
  };
}

function and(parts: readonly (SQL | undefined)[]): SQL | undefined {
  const given = parts.filter((part) => part !== undefined);
  return given.length === 0 ? undefined : sql`(${sql.join(given, sql` and `)})`;
}

function timeCondition(time: Date, kind: 'from' | 'before'): Condition {
  const ms = time.getTime();
  const isFrom = kind === 'from';
  return {
    matches: (flow) => (isFrom ? Date.parse(flow.time) >= ms : Date.parse(flow.time) < ms),
    where: isFrom ? sql`time >= ${time.toISOString()}::timestamptz` : sql`time < ${time.toISOString()}::timestamptz`,
    always: true,
  };
}

function word<const T extends readonly string[]>(name: string, text: string, allowed: T): string {
  if (allowed.includes(text)) return text;
  throw badParameter(name, text, `must be one of ${allowed.join(', ')}`, allowed);
}

/** By name in any case, `icmp` for both of them, or by number. */
function protocolNames(text: string): readonly string[] {
  if (/^\d{1,3}$/.test(text) && Number(text) <= 255) return [FLOW_PROTOCOLS[Number(text)] ?? String(Number(text))];
  const known = Object.values(FLOW_PROTOCOLS);
  const asked = text.toUpperCase();
  const named = asked === 'ICMP' ? ['ICMPv4', 'ICMPv6'] : known.filter((name) => name.toUpperCase() === asked);
  if (named.length > 0) return named;
  throw badParameter('protocol', text, `must be a number or one of ${['ICMP', ...known].join(', ')}`, [
    'ICMP',
    ...known,
  ]);
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** RFC 3339, or a duration before `now`: `30s`, `15m`, `24h`, `7d`. */
export function parseTime(name: string, text: string, now: Date): Date {
  const duration = /^(\d+)(ms|s|m|h|d)$/.exec(text);
  if (duration !== null) return new Date(now.getTime() - Number(duration[1]) * UNITS_MS[duration[2]!]!);
  if (/^\d{4}-\d\d-\d\dT/.test(text) && !Number.isNaN(Date.parse(text))) return new Date(text);
  throw badParameter(name, text, 'must be a time (2026-11-24T09:30:00Z) or how long ago (30s, 15m, 24h, 7d)');
}
