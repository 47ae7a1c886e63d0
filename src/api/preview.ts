/** `POST /v1/workloads:preview`: what a registration would match, host by host, before it is put. */
import * as v from 'valibot';
import { object, oneOf } from './check.ts';
import { Overlap, WorkloadSpec } from './workload.ts';

const { labels: _labels, ...Rest } = WorkloadSpec.entries;

/** The body of PUT; labels and the name may be left out. A name that exists stands for its registration. */
export const PreviewRequest = object({
  namespace: v.optional(v.string()),
  name: v.optional(v.string()),
  labels: v.optional(v.record(v.string(), v.string())),
  ...Rest,
  meta: v.optional(v.unknown()),
  status: v.optional(v.unknown()),
});

export const PreviewProcess = object({
  pid: v.number(),
  exe: v.string(),
  user: v.string(),
  unit: v.optional(v.string()),
  cgroup: v.string(),
  startedAt: v.string(),
  /** Index into `match`; absent where another workload keeps the process. */
  clause: v.optional(v.number()),
  origin: oneOf(['exec', 'cgroup', 'inherited', 'listen']),
  grade: v.optional(oneOf(['firstPacket', 'late'])),
  /** `wins`: it would be this workload. `loses`: it meets a clause, and would stay another's. `has`: it is this workload now. */
  outcome: oneOf(['wins', 'loses', 'has']),
  /** Of `wins`: the workload that would lose it. Of `loses`: the workload that keeps it. */
  other: v.optional(v.string()),
  /** Field of the order that decides between the two. */
  by: v.optional(v.string()),
});
export type PreviewProcess = v.InferOutput<typeof PreviewProcess>;

/** What an agent answers. */
export const HostPreview = object({
  /** 0..1: 1 = every process that it would name runs one program. */
  confidence: v.number(),
  processes: v.array(PreviewProcess),
  /** Processes beyond the first 1,000, which are listed. */
  more: v.number(),
  /** Clauses that cannot match here, and why: `match[0]: user "tomcat" does not exist on this host`. */
  waiting: v.array(v.string()),
  scanned: v.number(),
  tookMs: v.number(),
});
export type HostPreview = v.InferOutput<typeof HostPreview>;

/** Body of `POST /v1/agent/answers/{id}`. */
export const AgentAnswer = object({
  host: v.string(),
  preview: v.optional(HostPreview),
  /** Why there is none. */
  problem: v.optional(v.string()),
});
export type AgentAnswer = v.InferOutput<typeof AgentAnswer>;

export const Preview = object({
  grade: oneOf(['firstPacket', 'late']),
  spoofable: v.nullable(v.string()),
  overlaps: v.array(Overlap),
  hosts: v.array(
    object({
      host: v.string(),
      /**
       * `answered`; `elsewhere`: its labels are not those of `hosts`; `timeout`: connected, and silent; `away`: its agent is not
       * connected to this server; `failed`: it could not say.
       */
      state: oneOf(['answered', 'elsewhere', 'timeout', 'away', 'failed']),
      problem: v.optional(v.string()),
      ...v.partial(HostPreview).entries,
    }),
  ),
  /** How long hosts were waited for at most. */
  timeoutMs: v.number(),
});
export type Preview = v.InferOutput<typeof Preview>;
