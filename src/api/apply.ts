/** `POST /v1/apply`: many documents, all or nothing. */
import * as v from 'valibot';
import { object, oneOf } from './check.ts';

export const OWN_API_VERSION = 'postern.dev/v1';

/** Kinds that a file may hold, by apiVersion. */
export const APPLY_KINDS = {
  'cilium.io/v2': ['CiliumNetworkPolicy', 'CiliumClusterwideNetworkPolicy'],
  'networking.k8s.io/v1': ['NetworkPolicy'],
  v1: ['Namespace', 'List'],
  [OWN_API_VERSION]: ['Workload', 'Namespace'],
} as const satisfies Record<string, readonly string[]>;

export const ApplyResult = object({
  kind: v.string(),
  namespace: v.optional(v.string()),
  name: v.string(),
  result: oneOf(['created', 'updated', 'unchanged', 'deleted']),
  warnings: v.optional(v.array(v.string())),
});
export type ApplyResult = v.InferOutput<typeof ApplyResult>;

/** What a write would do, on `?dryRun=true`. */
export const Plan = object({
  changes: v.array(ApplyResult),
  /** Identities whose compiled policy would differ. */
  identities: v.number(),
});
export type Plan = v.InferOutput<typeof Plan>;

export const ApplyAnswer = object({
  results: v.array(ApplyResult),
  revision: v.number(),
  plan: v.optional(Plan),
});
export type ApplyAnswer = v.InferOutput<typeof ApplyAnswer>;
