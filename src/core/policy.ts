import { parseCidrGroup } from './policy-cidr-group.ts';
import { parseCiliumPolicy } from './policy-cilium.ts';
import {
  FEATURES,
  type Feature,
  type Fields,
  newReport,
  type Report,
  readObject,
  refuse,
  toResult,
} from './policy-fields.ts';
import { parseNetworkPolicy } from './policy-kubernetes.ts';
import type { Policy } from './policy-rule.ts';
import type { Result } from './problem.ts';

export * from './policy-rule.ts';

export const POLICY_TYPES = [
  { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy' },
  { apiVersion: 'cilium.io/v2', kind: 'CiliumClusterwideNetworkPolicy' },
  { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy' },
  { apiVersion: 'cilium.io/v2', kind: 'CiliumCIDRGroup' },
] as const;

/** Where Cilium still serves an older version that says the same. */
export const OLDER_VERSIONS: Readonly<Record<string, string>> = { CiliumCIDRGroup: 'cilium.io/v2alpha1' };

/** All that the oracle and the compiler understand. */
export const UNDERSTOOD: ReadonlySet<Feature> = new Set(FEATURES);

/** What the kernel's programs enforce: the rest must not be stored, or it would be taken for enforced. */
export const ENFORCED: ReadonlySet<Feature> = new Set<Feature>(['nodeSelector', 'cidrGroups', 'icmps', 'ipProtocols']);

/**
 * Reads one document (already parsed from YAML or JSON). Unknown and unsupported fields are refused by name: 400 if
 * anything is malformed, else 422 if anything is not supported yet. Warnings say what is legal and surprising.
 * @param features what may be used besides what every version enforces
 */
export function parsePolicy(document: unknown, features: ReadonlySet<Feature> = ENFORCED): Result<Policy> {
  const report = newReport(features);
  const object = readObject(report, '', document);
  if (!object) return toResult<Policy>(report, undefined);
  const type = POLICY_TYPES.find(({ kind }) => kind === object.kind);
  if (!type) {
    const allowed = POLICY_TYPES.map(({ kind }) => kind);
    refuse(report, '/kind', 'kind must be a policy', object.kind, allowed);
    return toResult<Policy>(report, undefined);
  }
  if (object.apiVersion !== type.apiVersion && object.apiVersion !== OLDER_VERSIONS[type.kind]) {
    const message = `apiVersion of a ${type.kind} must be ${type.apiVersion}`;
    refuse(report, '/apiVersion', message, object.apiVersion, [type.apiVersion]);
  }
  return toResult(report, PARSERS[type.kind](report, object));
}

const PARSERS: Readonly<
  Record<(typeof POLICY_TYPES)[number]['kind'], (report: Report, object: Fields) => Policy | undefined>
> = {
  CiliumNetworkPolicy: (report, object) => parseCiliumPolicy(report, object, 'cnp'),
  CiliumClusterwideNetworkPolicy: (report, object) => parseCiliumPolicy(report, object, 'ccnp'),
  NetworkPolicy: parseNetworkPolicy,
  CiliumCIDRGroup: parseCidrGroup,
};
