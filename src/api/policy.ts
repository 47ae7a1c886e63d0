/** `/v1/policies/{kind}/…`: the cluster's own documents, unchanged. Their meaning is core/policy.ts. */
import * as v from 'valibot';
import { DENIALS } from '../core/denial.ts';
import { object, oneOf } from './check.ts';
import { Meta, SERVER_FIELDS } from './meta.ts';

/** Kind of a policy in paths and rule names → what the document calls itself. */
export const POLICY_DOCUMENTS = {
  cnp: { kind: 'CiliumNetworkPolicy', apiVersion: 'cilium.io/v2', namespaced: true },
  ccnp: { kind: 'CiliumClusterwideNetworkPolicy', apiVersion: 'cilium.io/v2', namespaced: false },
  netpol: { kind: 'NetworkPolicy', apiVersion: 'networking.k8s.io/v1', namespaced: true },
  ccg: { kind: 'CiliumCIDRGroup', apiVersion: 'cilium.io/v2', namespaced: false },
} as const;

export const POLICY_KINDS = ['cnp', 'ccnp', 'netpol', 'ccg'] as const;
export const PolicyKindName = oneOf(POLICY_KINDS);
export type PolicyKindName = (typeof POLICY_KINDS)[number];

/** A Kubernetes document; its fields are checked by core's `parsePolicy`. */
export const PolicyDocument = v.pipe(
  v.record(v.string(), v.unknown()),
  v.description(
    'CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy, NetworkPolicy or CiliumCIDRGroup, as in a cluster',
  ),
);

/** The envelope of GET, accepted by PUT: its `document` is used. */
export const PolicyEnvelope = object({
  kind: v.string(),
  namespace: v.optional(v.string()),
  name: v.optional(v.string()),
  document: PolicyDocument,
  ...SERVER_FIELDS,
});

export const RuleStatus = object({
  /** `cnp/shop/backend ingress[0]`, `default deny of cnp/shop/backend` */
  rule: v.string(),
  /** How often it decided, since it is what it is. */
  hits: v.number(),
  lastHit: v.optional(v.string()),
});
export type RuleStatus = v.InferOutput<typeof RuleStatus>;

export const PolicyStatus = object({
  mode: oneOf(['enforce', 'audit']),
  valid: v.boolean(),
  /** How many live endpoints, on how many hosts, the policy selects. */
  selects: object({ endpoints: v.number(), hosts: v.number() }),
  /** On how many of the known hosts the policy's own revision is in the kernel. */
  enforced: object({ revision: v.number(), hosts: v.number(), of: v.number() }),
  rules: v.array(RuleStatus),
  /** Annotation `postern.dev/deny`: how what it denies feels. Absent = as the host has it. */
  deny: v.optional(oneOf(DENIALS)),
  /** Annotation `postern.dev/owner`. */
  owner: v.optional(v.string()),
  /** Annotation `postern.dev/expires`: when it goes out of force by itself. */
  expires: v.optional(v.string()),
  warnings: v.array(v.string()),
});
export type PolicyStatus = v.InferOutput<typeof PolicyStatus>;

export const Policy = object({
  kind: PolicyKindName,
  namespace: v.optional(v.string()),
  name: v.string(),
  document: PolicyDocument,
  meta: Meta,
  status: PolicyStatus,
});
export type Policy = v.InferOutput<typeof Policy>;
