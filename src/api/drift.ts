/** A workload that runs outside of the unit or cgroup that it is registered with. */
import * as v from 'valibot';
import { object } from './check.ts';
import { EndpointProcess } from './endpoint.ts';

export const Drift = object({
  workload: v.string(),
  host: v.string(),
  process: EndpointProcess,
  /** Where it runs. */
  cgroup: v.string(),
  /** Where it is registered to run: units, cgroups, containers. */
  expected: v.array(v.string()),
  /** Whether another clause names it there; false = it has not the workload's identity. */
  named: v.boolean(),
  /** The clause that names it there, or would. */
  clause: v.unknown(),
  /** Adds that clause to the registration. */
  command: v.optional(v.string()),
});
export type Drift = v.InferOutput<typeof Drift>;
