/** `GET /v1/audit`: who changed what, before and after. */
import * as v from 'valibot';
import { object, oneOf } from './check.ts';

export const AUDIT_COLLECTIONS = ['namespaces', 'workloads', 'hostWorkloads', 'policies'] as const;
export const AUDIT_ACTIONS = ['create', 'update', 'delete'] as const;

export const AuditEntry = object({
  revision: v.number(),
  /** RFC 3339 UTC. */
  at: v.string(),
  /** `uid:0` */
  actor: v.string(),
  action: oneOf(AUDIT_ACTIONS),
  collection: v.string(),
  /** Within the collection: `shop/backend`, `cnp/shop/backend`, `erp/billing@web-1`. */
  key: v.string(),
  /** The object as it was; absent when it was created. */
  before: v.optional(v.unknown()),
  /** The object as it became; absent when it was deleted. */
  after: v.optional(v.unknown()),
});
export type AuditEntry = v.InferOutput<typeof AuditEntry>;
