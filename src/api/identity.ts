/** `/v1/identities`: the number for one distinct set of labels. */
import * as v from 'valibot';
import { object } from './check.ts';

export const Identity = object({
  id: v.number(),
  /** `source:key=value`, sorted. */
  labels: v.array(v.string()),
  /** `namespace/name` of each workload that has it. */
  workloads: v.array(v.string()),
  /** Ids of the live endpoints that have it. */
  endpoints: v.array(v.string()),
});
export type Identity = v.InferOutput<typeof Identity>;
