/** Registrations from the files of one host: the agent says which there are, the control plane gives each its identity. */
import * as v from 'valibot';
import { WireIdentity } from './agent-stream.ts';
import { object } from './check.ts';
import { WorkloadSpec } from './workload.ts';

export const HostWorkload = object({
  namespace: v.string(),
  name: v.string(),
  /** Path on that host. */
  file: v.string(),
  ...WorkloadSpec.entries,
});
export type HostWorkload = v.InferOutput<typeof HostWorkload>;

/** Body of `PUT /v1/agent/hosts/{name}/workloads`: all that the host's files register; what is not there any more goes. */
export const HostWorkloads = object({ workloads: v.pipe(v.array(HostWorkload), v.maxLength(1000)) });

export const HostIdentities = object({
  revision: v.number(),
  items: v.array(
    object({
      namespace: v.string(),
      name: v.string(),
      identity: v.number(),
      /** Revision at which it was first registered: the older registration wins a tie. */
      createdRevision: v.number(),
    }),
  ),
  identities: v.array(WireIdentity),
});
export type HostIdentities = v.InferOutput<typeof HostIdentities>;

/** One file as the agent last read it: part of a host's report. */
export const WorkloadFile = object({
  file: v.string(),
  /** `namespace/name` of what it registers; of a bad file, what it last registered. */
  workloads: v.array(v.string()),
  /** `line 3:5 /spec/match/process/exe "nginx": must be an absolute path`; empty = all is well. */
  problems: v.array(v.string()),
  /** Those of `workloads` that the control plane registers too: its registration counts. */
  conflicts: v.array(v.string()),
  /** Those that have no identity yet: the control plane has not answered. */
  waiting: v.array(v.string()),
});
export type WorkloadFile = v.InferOutput<typeof WorkloadFile>;
