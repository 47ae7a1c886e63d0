/** `/v1/hosts/{name}` and the report that a host's agent puts. */
import * as v from 'valibot';
import { DENIALS } from '../core/denial.ts';
import { MODES } from '../core/mode.ts';
import { object, oneOf } from './check.ts';
import { Discovered } from './discover.ts';
import { Drift } from './drift.ts';
import { Endpoint } from './endpoint.ts';
import { Finding, FindingCounts } from './findings.ts';
import { WorkloadFile } from './host-workload.ts';

export const MapFill = object({
  name: v.string(),
  type: v.optional(v.string()),
  entries: v.number(),
  maxEntries: v.number(),
});

/** Of the host around what is named; absent from an agent that does not look. */
const Seen = {
  bootedAt: v.optional(v.string()),
  /** Programs without a workload: those that listen, those that only talk. */
  unregistered: v.optional(object({ listeners: v.number(), talkers: v.number() })),
  /** Processes of which user space has not told yet who they are. */
  provisional: v.optional(v.number()),
  /** Verdicts of the last `minutes`, each connection once. */
  recent: v.optional(object({ minutes: v.number(), allowed: v.number(), denied: v.number(), audit: v.number() })),
  /** What no rule cuts off, as it is here. */
  failsafe: v.optional(v.array(v.string())),
  /** What policy neither judges nor sees. */
  blind: v.optional(v.array(v.string())),
  hooks: v.optional(object({ attached: v.number(), of: v.number(), missing: v.array(v.string()) })),
};

const Observed = {
  appliedRevision: v.number(),
  /** What does not work, in words; empty when all is well. */
  degraded: v.array(v.string()),
  agentVersion: v.string(),
  kernel: v.string(),
  /** `Debian GNU/Linux 12 (bookworm)`. */
  os: v.optional(v.string()),
  /** Probed kernel features: name → present, or why not. */
  features: v.record(v.string(), v.unknown()),
  addresses: v.array(v.string()),
  /** What `hosts` of a workload selects by. */
  labels: v.optional(v.record(v.string(), v.string())),
  /** What `labelsFrom` of a workload can add to its identity here: `host:site=fra`, `cloud:tag/env=prod`. */
  derived: v.optional(v.array(v.string())),
  /** Likewise of its processes: sets of values, and how many more there are for which there is no room. */
  values: v.optional(v.array(object({ workload: v.string(), sets: v.array(v.array(v.string())), left: v.number() }))),
  maps: v.array(MapFill),
  counters: v.record(v.string(), v.number()),
  /** Files with registrations for this host (`workloads.d`). */
  files: v.optional(v.array(WorkloadFile)),
  ...Seen,
};

/** How the host's agent was started: flags and variables of its own. */
export const HostSettings = object({
  enablePolicy: oneOf(['default', 'always', 'never']),
  pending: oneOf(['allow', 'deny']),
  deny: oneOf(DENIALS),
});

/** Body of `PUT /v1/agent/hosts/{name}/report`. */
export const HostReport = object({
  mode: v.optional(oneOf(MODES)),
  settings: v.optional(HostSettings),
  state: oneOf(['ready', 'degraded', 'new']),
  ...Observed,
  endpoints: v.array(Endpoint),
  discover: v.array(Discovered),
  /** Clauses that cannot match here yet, and why. */
  waiting: v.optional(v.array(object({ workload: v.string(), clause: v.number(), reason: v.string() }))),
  /** Workloads that run outside of where they are registered to. */
  drifts: v.optional(v.array(Drift)),
  /** Absent = those of the report before: they are long, and seldom others. */
  findings: v.optional(v.array(Finding)),
});
export type HostReport = v.InferOutput<typeof HostReport>;

export const HostStatus = object({
  /** `stale`: the agent has not reported for 60 s; its kernel goes on enforcing. */
  state: oneOf(['ready', 'degraded', 'stale', 'new']),
  lastSeen: v.string(),
  /** How long the newest revision is not applied, in ms; 0 when it is. */
  policyAgeMs: v.number(),
  ...Observed,
  endpoints: v.number(),
  /** Absent from an agent that has not looked. */
  findings: v.optional(FindingCounts),
});

export const Host = object({
  name: v.string(),
  /** Nobody on it goes beyond. */
  mode: oneOf(MODES),
  /** Absent = of an agent that does not say. */
  settings: v.optional(HostSettings),
  status: HostStatus,
});
export type Host = v.InferOutput<typeof Host>;
