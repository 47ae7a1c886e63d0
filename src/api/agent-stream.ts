/**
 * `GET /v1/agent/stream?host=NAME&uid=U&revision=N`: desired state on its way down, NDJSON.
 * A snapshot first, or, when `uid` is this control plane and the changes since N are still there, deltas at once.
 * One delta per revision: all of it belongs together. A bookmark every 10 s shows that the stream is alive.
 */
import * as v from 'valibot';
import { object, oneOf } from './check.ts';
import { PolicyDocument, PolicyKindName } from './policy.ts';
import { WorkloadSpec } from './workload.ts';

export const WireWorkload = object({
  namespace: v.string(),
  name: v.string(),
  ...WorkloadSpec.entries,
  identity: v.number(),
  /** Revision at which it was first registered: the older registration wins a tie. */
  createdRevision: v.number(),
});
export type WireWorkload = v.InferOutput<typeof WireWorkload>;

export const WirePolicy = object({
  kind: PolicyKindName,
  namespace: v.optional(v.string()),
  name: v.string(),
  document: PolicyDocument,
});
export type WirePolicy = v.InferOutput<typeof WirePolicy>;

export const WireIdentity = object({
  id: v.number(),
  labels: v.array(v.string()),
  /** Named ports of its workloads: name → `8080/TCP`. */
  ports: v.optional(v.record(v.string(), v.string())),
  /** What policy does to it; absent = enforce. */
  mode: v.optional(oneOf(['observe', 'audit'])),
});
export type WireIdentity = v.InferOutput<typeof WireIdentity>;

const Namespaces = v.record(v.string(), v.record(v.string(), v.string()));

export const Snapshot = object({
  type: v.literal('snapshot'),
  uid: v.string(),
  revision: v.number(),
  clusterName: v.string(),
  workloads: v.array(WireWorkload),
  policies: v.array(WirePolicy),
  namespaces: Namespaces,
  identities: v.array(WireIdentity),
});
export type Snapshot = v.InferOutput<typeof Snapshot>;

export const Delta = object({
  type: v.literal('delta'),
  revision: v.number(),
  put: object({
    workloads: v.optional(v.array(WireWorkload)),
    policies: v.optional(v.array(WirePolicy)),
    namespaces: v.optional(Namespaces),
    identities: v.optional(v.array(WireIdentity)),
  }),
  delete: object({
    /** `namespace/name` */
    workloads: v.optional(v.array(v.string())),
    /** `cnp/namespace/name`, `ccnp/name` */
    policies: v.optional(v.array(v.string())),
    namespaces: v.optional(v.array(v.string())),
    identities: v.optional(v.array(v.number())),
  }),
});
export type Delta = v.InferOutput<typeof Delta>;

export const Bookmark = object({ type: v.literal('bookmark'), revision: v.number() });
export type Bookmark = v.InferOutput<typeof Bookmark>;

/** A question, not a state: the answer goes to `POST /v1/agent/answers/{id}`. */
export const Ask = object({ type: v.literal('ask'), id: v.string(), preview: WireWorkload });
export type Ask = v.InferOutput<typeof Ask>;

export type AgentStreamLine = Snapshot | Delta | Bookmark | Ask;
