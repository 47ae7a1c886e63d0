/**
 * CiliumCIDRGroup (cilium.io/v2): named, labelled lists of prefixes, and what the rules that name them then mean.
 * A rule names a group by its name, or groups by their labels; one that names none that exists matches nobody.
 */
import { formatPrefix } from './cidr.ts';
import { canonicalLabels } from './label.ts';
import { readPrefix } from './policy-cidr.ts';
import { type Fields, type FieldTable, type Report, readEach, readFields, refuse } from './policy-fields.ts';
import { parseMetadata } from './policy-metadata.ts';
import type { Peer, Policy, PolicyRule } from './policy-rule.ts';
import { indexLabels, type Selector, selects } from './selector.ts';

const DOCUMENT: FieldTable = { known: ['apiVersion', 'kind', 'metadata', 'spec', 'status'] };
const SPEC: FieldTable = { known: ['externalCIDRs'] };

export function parseCidrGroup(report: Report, object: Fields): Policy | undefined {
  const fields = readFields(report, '', object, DOCUMENT);
  const metadata = parseMetadata(report, object.metadata, 'cluster');
  if (!fields) return undefined;
  if (fields.spec === undefined) return refuse(report, '/spec', 'spec is required');
  const spec = readFields(report, '/spec', fields.spec, SPEC);
  if (!spec) return undefined;
  const path = '/spec/externalCIDRs';
  if (spec.externalCIDRs === undefined) return refuse(report, path, 'externalCIDRs is required');
  const prefixes = readEach(report, path, spec.externalCIDRs, (here, value) => {
    const prefix = readPrefix(report, here, value, true);
    return prefix && formatPrefix(prefix);
  });
  const labels = Object.entries((object.metadata as Fields | undefined)?.labels ?? {}).map(([key, value]) => ({
    source: 'cidrgroup',
    key,
    value: String(value),
  }));
  return (
    metadata && {
      kind: 'ccg',
      ...metadata,
      rules: [],
      group: { labels: canonicalLabels(labels), prefixes: [...new Set(prefixes ?? [])].sort() },
    }
  );
}

/** The same policies with CIDR peers instead of groups. What names no group, or the same as before, is the same object. */
export function resolveCidrGroups(policies: readonly Policy[]): readonly Policy[] {
  const groups = policies.filter(({ kind }) => kind === 'ccg');
  return policies.map((policy) => (namesGroups(policy) ? resolved(policy, groups) : policy));
}

const naming = new WeakMap<Policy, boolean>();

function namesGroups(policy: Policy): boolean {
  let known = naming.get(policy);
  if (known === undefined) {
    known = policy.rules.some(({ peers }) => peers?.some(({ type }) => type === 'cidr-group'));
    naming.set(policy, known);
  }
  return known;
}

const memo = new WeakMap<Policy, { readonly groups: readonly Policy[]; readonly policy: Policy }>();

function resolved(policy: Policy, groups: readonly Policy[]): Policy {
  const before = memo.get(policy);
  if (before && before.groups.length === groups.length && before.groups.every((group, i) => group === groups[i])) {
    return before.policy;
  }
  const result = { ...policy, rules: policy.rules.map((rule) => resolveRule(rule, groups)) };
  memo.set(policy, { groups, policy: result });
  return result;
}

function resolveRule(rule: PolicyRule, groups: readonly Policy[]): PolicyRule {
  if (!rule.peers) return rule;
  return {
    ...rule,
    peers: rule.peers.flatMap((peer) => (peer.type === 'cidr-group' ? prefixesOf(peer, groups) : [peer])),
  };
}

function prefixesOf(peer: Extract<Peer, { type: 'cidr-group' }>, groups: readonly Policy[]): Peer[] {
  const named = groups.filter((group) => isNamed(peer.groups, group)).flatMap(({ group }) => group?.prefixes ?? []);
  return [...new Set(named)].sort().map((prefix) => ({ type: 'cidr', prefix, except: peer.except }));
}

function isNamed(by: string | Selector, { name, group }: Policy): boolean {
  return typeof by === 'string' ? by === name : selects(by, indexLabels(group?.labels ?? []));
}
