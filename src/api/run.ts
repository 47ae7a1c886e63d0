/** What the agent of a host takes on its own socket: a command that runs under a workload, a process that is adopted. */
import * as v from 'valibot';
import { object } from './check.ts';
import { MatchClause } from './workload.ts';

const WorkloadRef = v.pipe(
  v.string(),
  v.regex(/^[a-z0-9][-a-z0-9]*\/[a-z0-9][-.a-z0-9]*$/, 'must be namespace/name, such as "shop/batch"'),
);
const Pid = v.pipe(v.number(), v.integer('must be a whole number'), v.minValue(1, 'must be above 0'));

/** `POST /v1/run`: the calling process (or `pid`, its parent, a shell that becomes the command) runs under the workload. */
export const RunRequest = object({ workload: WorkloadRef, pid: v.optional(Pid) });
export type RunRequest = v.InferOutput<typeof RunRequest>;

/** `POST /v1/adopt`: a process that runs already; `tree` = with all its descendants. */
export const AdoptRequest = object({ workload: WorkloadRef, pid: Pid, tree: v.optional(v.boolean()) });
export type AdoptRequest = v.InferOutput<typeof AdoptRequest>;

export const Pinned = object({
  workload: v.string(),
  identity: v.number(),
  labels: v.array(v.string()),
  pid: v.number(),
  /** Of `run`: the scope that was made for it; of `adopt`: where the process was. */
  cgroup: v.string(),
});
export type Pinned = v.InferOutput<typeof Pinned>;

export const Adopted = object({
  ...Pinned.entries,
  pids: v.array(v.number()),
  /** Workloads that lost a process of these. */
  from: v.array(v.string()),
  /** The clause that would name it from its next start on. */
  suggested: object({ match: MatchClause, confidence: v.number(), note: v.optional(v.string()) }),
});
export type Adopted = v.InferOutput<typeof Adopted>;

/** One line of `GET /v1/runs`. */
export const Run = object({
  workload: v.string(),
  kind: v.picklist(['run', 'adopt']),
  pid: v.number(),
  cgroup: v.string(),
  /** `uid:0` */
  by: v.string(),
  /** RFC 3339 UTC. */
  since: v.string(),
});
export type Run = v.InferOutput<typeof Run>;
