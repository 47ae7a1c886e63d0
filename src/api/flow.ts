/** A flow: one event of one connection or conversation, with both ends by name and the rule that decided. */
import * as v from 'valibot';
import { object, oneOf } from './check.ts';

export const FLOW_EVENTS = [
  'connect',
  'accept',
  'deny',
  'audit',
  'close',
  'fail',
  'exchange',
  'drift',
  'lost',
] as const;
export const VERDICTS = ['FORWARDED', 'DROPPED', 'AUDIT', 'ERROR'] as const;
export const DIRECTIONS = ['INGRESS', 'EGRESS'] as const;
/** How flows name a protocol; any other stands as its number. */
export const FLOW_PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'ICMPv4',
  2: 'IGMP',
  6: 'TCP',
  17: 'UDP',
  58: 'ICMPv6',
  112: 'VRRP',
  132: 'SCTP',
  136: 'UDPLITE',
};

export const FlowProcess = object({
  pid: v.number(),
  exe: v.optional(v.string()),
  user: v.optional(v.string()),
  unit: v.optional(v.string()),
});

export const FlowEnd = object({
  workload: v.optional(v.string()),
  identity: v.optional(v.number()),
  labels: v.optional(v.array(v.string())),
  /** What the host knows besides: unit, package, container, os, cloud tags. */
  derived: v.optional(v.array(v.string())),
  host: v.optional(v.string()),
  ip: v.optional(v.string()),
  port: v.optional(v.number()),
  process: v.optional(FlowProcess),
});
export type FlowEnd = v.InferOutput<typeof FlowEnd>;

export const Flow = object({
  /** RFC 3339 UTC, microseconds. */
  time: v.pipe(v.string(), v.check(isTime, 'must be an RFC 3339 time')),
  event: oneOf(FLOW_EVENTS),
  verdict: v.optional(oneOf(VERDICTS)),
  direction: v.optional(oneOf(DIRECTIONS)),
  protocol: v.optional(v.string()),
  icmp: v.optional(object({ type: v.number(), code: v.number() })),
  dropReason: v.optional(v.string()),
  rule: v.optional(v.string()),
  rules: v.optional(v.array(v.string())),
  /** The revision in force when it was decided; of an event that comes later (close), one that said the same. */
  revision: v.optional(v.number()),
  host: v.optional(v.string()),
  source: v.optional(FlowEnd),
  destination: v.optional(FlowEnd),
  bytes: v.optional(object({ sent: v.number(), received: v.number() })),
  durationMs: v.optional(v.number()),
  rttUs: v.optional(v.number()),
  retransmits: v.optional(v.number()),
  provisional: v.optional(v.boolean()),
  joined: v.optional(v.boolean()),
  /** Of an event "lost": how many, and where they went missing. */
  count: v.optional(v.number()),
  where: v.optional(v.string()),
  detail: v.optional(v.string()),
});
export type Flow = v.InferOutput<typeof Flow>;

/** First line of `POST /v1/agent/flows`; `lost` = events that this agent had to drop since its last batch. */
export const FlowBatchHeader = object({
  host: v.pipe(v.string(), v.minLength(1, 'must not be empty')),
  lost: v.optional(v.number()),
});

function isTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(text) && !Number.isNaN(Date.parse(text));
}
