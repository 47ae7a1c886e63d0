/** What is legal in a policy and yet surprising. */
import { type Policy, parsePolicy } from '../core/policy.ts';
import type { StoredPolicy } from './state.ts';

/** @param selected number of identities that the policy selects */
export function policyWarnings(stored: StoredPolicy, policy: Policy | undefined, selected: number): string[] {
  const reading = parsePolicy(stored.document);
  if (!reading.ok || policy === undefined) {
    const why = reading.ok ? 'unknown' : (reading.errors[0]?.message ?? 'unknown');
    return [`this version does not accept the document, so it is not enforced: ${why}`];
  }
  const warnings = [...(reading.warnings ?? [])];
  if (selected === 0) warnings.push('selects no registered workload: check the labels of endpointSelector');
  return warnings;
}
