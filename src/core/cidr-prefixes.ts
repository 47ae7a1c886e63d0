import type { Policy, PolicyRule } from './policy-rule.ts';

/**
 * The prefixes that need an identity of this host, sorted: every CIDR, every exception and every member of a
 * group that some document names, so that
 * the longest of them that holds an address says exactly which rules match it. All of IPv4 and all of IPv6 are left
 * out: they are the identities world-ipv4 and world-ipv6.
 */
export function cidrPrefixes(policies: readonly Policy[]): string[] {
  const prefixes = new Set(policies.flatMap(policyPrefixes));
  return [...prefixes].filter((prefix) => !prefix.endsWith('/0')).sort();
}

/** Those of one policy, unsorted; the same policy gives the same array. */
export function policyPrefixes(policy: Policy): readonly string[] {
  let found = known.get(policy);
  if (found === undefined) {
    found = [...(policy.group?.prefixes ?? []), ...policy.rules.flatMap(prefixesOf)];
    known.set(policy, found);
  }
  return found;
}

const known = new WeakMap<Policy, readonly string[]>();

function prefixesOf(rule: PolicyRule): string[] {
  return (rule.peers ?? []).flatMap((peer) => {
    if (peer.type === 'cidr') return [peer.prefix, ...peer.except];
    return peer.type === 'cidr-group' ? peer.except : [];
  });
}
