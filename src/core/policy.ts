import { parseCiliumPolicy } from './policy-cilium.ts';
import { newReport, readObject, refuse, toResult } from './policy-fields.ts';
import { parseNetworkPolicy } from './policy-kubernetes.ts';
import type { Policy } from './policy-rule.ts';
import type { Result } from './problem.ts';

export * from './policy-rule.ts';

export const POLICY_TYPES = [
  { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy' },
  { apiVersion: 'cilium.io/v2', kind: 'CiliumClusterwideNetworkPolicy' },
  { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy' },
] as const;

/**
 * Reads one document (already parsed from YAML or JSON). Unknown and unsupported fields are refused by name: 400 if
 * anything is malformed, else 422 if anything is not supported yet. Warnings say what is legal and surprising.
 */
export function parsePolicy(document: unknown): Result<Policy> {
  const report = newReport();
  const object = readObject(report, '', document);
  if (!object) return toResult<Policy>(report, undefined);
  const type = POLICY_TYPES.find(({ kind }) => kind === object.kind);
  if (!type) {
    const allowed = POLICY_TYPES.map(({ kind }) => kind);
    refuse(report, '/kind', 'kind must be a policy', object.kind, allowed);
    return toResult<Policy>(report, undefined);
  }
  if (object.apiVersion !== type.apiVersion) {
    const message = `apiVersion of a ${type.kind} must be ${type.apiVersion}`;
    refuse(report, '/apiVersion', message, object.apiVersion, [type.apiVersion]);
  }
  const policy =
    type.kind === 'NetworkPolicy'
      ? parseNetworkPolicy(report, object)
      : parseCiliumPolicy(report, object, type.kind === 'CiliumNetworkPolicy' ? 'cnp' : 'ccnp');
  return toResult(report, policy);
}
