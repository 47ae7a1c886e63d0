/** `/v1/endpoints`: one live instance of a workload on a host, as that host's agent reports it. */
import * as v from 'valibot';
import { object, oneOf } from './check.ts';

export const Listening = object({ port: v.number(), protocol: v.string(), address: v.string() });

export const EndpointProcess = object({
  pid: v.number(),
  exe: v.string(),
  user: v.optional(v.string()),
  startedAt: v.optional(v.string()),
});

export const Endpoint = object({
  /** `host/<cgroup id>` or `host/<pid>-<start ticks>`. */
  id: v.string(),
  workload: v.string(),
  host: v.string(),
  identity: v.number(),
  labels: v.optional(v.array(v.string())),
  /** What the host knows besides: unit, package, container, os, cloud tags. Not in the identity. */
  derived: v.optional(v.array(v.string())),
  why: v.optional(
    object({
      /** Index into the workload's `match`. */
      clause: v.optional(v.number()),
      origin: oneOf(['exec', 'cgroup', 'inherited', 'run', 'listen', 'backfill']),
      grade: oneOf(['firstPacket', 'late']),
      beats: v.optional(v.array(object({ workload: v.string(), by: v.string() }))),
      /** The kernel saw only a part of its arguments, environment or path: user space decided. */
      cut: v.optional(v.boolean()),
    }),
  ),
  state: oneOf(['ok', 'provisional', 'conflict', 'drifted']),
  processes: v.array(EndpointProcess),
  cgroup: v.optional(v.string()),
  listening: v.optional(v.array(Listening)),
  mode: v.optional(oneOf(['observe', 'audit', 'enforce'])),
  policy: v.optional(
    object({
      ingress: oneOf(['enforced', 'audit', 'none']),
      egress: oneOf(['enforced', 'audit', 'none']),
      revision: v.number(),
    }),
  ),
});
export type Endpoint = v.InferOutput<typeof Endpoint>;
