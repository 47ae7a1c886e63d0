/**
 * `/v1/findings`: rights of a workload by which it could get around its policy, told rather than closed, each with what
 * closes it. Found by the host's agent.
 */
import * as v from 'valibot';
import { object, oneOf } from './check.ts';
import { EndpointProcess } from './endpoint.ts';

/** Never renamed or used for something else: scripts know them. */
export const FINDING_KINDS = [
  /** Holds a capability that is stronger than policy. */
  'capability',
  /** Could gain one by a set-user-id program. */
  'setUserId',
  /** Runs as the same user as another workload. */
  'sharedUser',
  /** May ask a program outside of its cgroup to start others. */
  'helperSocket',
  /** Its executable or script can be replaced. */
  'writableExecutable',
  /** Owns its cgroup. */
  'delegatedCgroup',
  /** Of the host: frames of packet sockets are not judged. */
  'noFrameGuard',
] as const;
export const SEVERITIES = ['high', 'medium', 'low'] as const;

export const DropIn = object({
  unit: v.string(),
  /** `/etc/systemd/system/UNIT.d/50-postern.conf` */
  path: v.string(),
  /** Closes all findings of the unit that settings can close. */
  content: v.string(),
});
export type DropIn = v.InferOutput<typeof DropIn>;

export const Finding = object({
  /** The same as long as it is found: `HOST/NAMESPACE/NAME/KIND[/UNIT]`, `HOST/KIND`. */
  id: v.string(),
  kind: oneOf(FINDING_KINDS),
  severity: oneOf(SEVERITIES),
  host: v.string(),
  /** `namespace/name`; absent = the whole host. */
  workload: v.optional(v.string()),
  /** In which the processes run. */
  unit: v.optional(v.string()),
  /** Capabilities, other workloads, or paths. */
  subjects: v.array(v.string()),
  /** At most ten. */
  processes: v.array(EndpointProcess),
  /** How many processes there are besides. */
  more: v.optional(v.number()),
  /** What was seen. */
  what: v.string(),
  /** What somebody could do with it. */
  means: v.string(),
  fix: object({
    text: v.string(),
    /** To be run as root, in order. */
    commands: v.optional(v.array(v.string())),
    dropIn: v.optional(DropIn),
  }),
});
export type Finding = v.InferOutput<typeof Finding>;
export type FindingKind = Finding['kind'];

/** Of a host, by severity. */
export const FindingCounts = object({ high: v.number(), medium: v.number(), low: v.number() });
export type FindingCounts = v.InferOutput<typeof FindingCounts>;

/** What the agent's own `GET /v1/findings` answers. */
export interface HostFindings {
  readonly items: readonly Finding[];
  /** When the agent looked; absent = not yet. */
  readonly lookedAt?: string;
}

export function countFindings(findings: readonly Finding[]): FindingCounts {
  const of = (severity: Finding['severity']) => findings.filter((one) => one.severity === severity).length;
  return { high: of('high'), medium: of('medium'), low: of('low') };
}
