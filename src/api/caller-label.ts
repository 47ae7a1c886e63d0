/** `GET /v1/labels` of the agent's own API: who a process or a socket of its host is. */
import * as v from 'valibot';
import { object } from './check.ts';

/** By the pid of a process, or by the cookie of a TCP socket (socket(7), SO_COOKIE): one of them. */
export interface CallerQuestion {
  readonly pid?: number;
  readonly cookie?: number;
}

export const CallerLabel = object({
  /** Of a registered workload; 0 = none, which the host and what is pending are too. */
  identity: v.number(),
  /** `namespace/name` */
  workload: v.optional(v.string()),
});
export type CallerLabel = v.InferOutput<typeof CallerLabel>;
