/**
 * Kubernetes NetworkPolicy (networking.k8s.io/v1) → normal form, as Cilium 1.19 reads it. Where the two differ:
 * ipBlock is a CIDR rule and matches addresses outside only; a section that has rules is enforced although
 * `policyTypes` does not name it.
 */
import { CLUSTER_KEY, NAMESPACE_KEY, NAMESPACE_LABELS_PREFIX } from './label.ts';
import { parseCidrRule } from './policy-cidr.ts';
import { at, type Fields, type FieldTable, type Report, readEach, readFields, refuse } from './policy-fields.ts';
import { parseMetadata } from './policy-metadata.ts';
import { parseNetworkPolicyPorts } from './policy-port.ts';
import { type Direction, type Peer, type Policy, type PolicyRule, policyRef } from './policy-rule.ts';
import { parseSelector } from './policy-selector.ts';
import { and, mentions, type Requirement, requirementOf, type Selector } from './selector.ts';

const DOCUMENT: FieldTable = { known: ['apiVersion', 'kind', 'metadata', 'spec', 'status'] };
const SPEC: FieldTable = { known: ['podSelector', 'policyTypes', 'ingress', 'egress'] };
const RULE: Readonly<Record<Direction, FieldTable>> = {
  ingress: { known: ['from', 'ports'], misplaced: { to: 'is only allowed in egress' } },
  egress: { known: ['to', 'ports'], misplaced: { from: 'is only allowed in ingress' } },
};
const PEER: FieldTable = { known: ['podSelector', 'namespaceSelector', 'ipBlock'] };
const IP_BLOCK: FieldTable = { known: ['cidr', 'except'] };
const POLICY_TYPES = ['Ingress', 'Egress'];

export function parseNetworkPolicy(report: Report, object: Fields): Policy | undefined {
  const fields = readFields(report, '', object, DOCUMENT);
  const metadata = parseMetadata(report, object.metadata, 'namespaced');
  if (!fields) return undefined;
  if (fields.spec === undefined) return refuse(report, '/spec', 'spec is required');
  const spec = readFields(report, '/spec', fields.spec, SPEC);
  if (!spec) return undefined;
  const namespace = metadata?.namespace ?? 'default';
  const ref = policyRef({ kind: 'netpol', name: '?', ...metadata, namespace });
  const rules = parseSpec(report, spec, ref, namespace);
  return metadata && { kind: 'netpol', ...metadata, namespace, rules };
}

function parseSpec(report: Report, spec: Fields, ref: string, namespace: string): PolicyRule[] {
  if (spec.podSelector === undefined)
    report.warnings.push('/spec/podSelector: absent, so it selects every pod of the namespace');
  const pods = parseSelector(report, '/spec/podSelector', spec.podSelector ?? {}, 'k8s:') ?? { requirements: [] };
  const subject = inNamespace(pods, namespace);
  const types = readEach(
    report,
    '/spec/policyTypes',
    spec.policyTypes,
    (here, type) =>
      POLICY_TYPES.find((name) => name === type) ?? refuse(report, here, 'unknown policy type', type, POLICY_TYPES),
  );
  const isolated = {
    ingress: (types ?? []).includes('Ingress') || !(types ?? []).includes('Egress'),
    egress: (types ?? []).includes('Egress'),
  };
  return (['ingress', 'egress'] as const).flatMap((direction) => {
    const path = at('/spec', direction);
    const matches =
      readEach(report, path, spec[direction], (here, rule) => parseRule(report, here, rule, direction, namespace)) ??
      [];
    if (matches.length > 0 && types && types.length > 0 && !isolated[direction]) {
      report.warnings.push(`${path}: enforced although policyTypes does not name it`);
    }
    // Isolation without a rule: one that matches nobody.
    const all: Pick<PolicyRule, 'peers' | 'ports'>[] =
      matches.length === 0 && isolated[direction] ? [{ peers: [] }] : matches;
    return all.map((match, index) => ({
      name: `${ref} ${direction}[${index}]`,
      section: direction,
      direction,
      deny: false,
      subject,
      ...match,
      defaultDeny: true,
    }));
  });
}

/** An absent or empty list of peers is everyone, of ports everything. */
function parseRule(
  report: Report,
  path: string,
  value: unknown,
  direction: Direction,
  namespace: string,
): Pick<PolicyRule, 'peers' | 'ports'> {
  const fields = readFields(report, path, value, RULE[direction]);
  if (!fields) return { peers: [] };
  const side = direction === 'ingress' ? 'from' : 'to';
  const peers = readEach(report, at(path, side), fields[side], (here, peer) =>
    parsePeer(report, here, peer, namespace),
  );
  const ports = parseNetworkPolicyPorts(report, at(path, 'ports'), fields.ports);
  return { ...(peers && peers.length > 0 ? { peers } : {}), ...(ports ? { ports } : {}) };
}

function parsePeer(report: Report, path: string, value: unknown, namespace: string): Peer | undefined {
  const fields = readFields(report, path, value, PEER);
  if (!fields) return undefined;
  const bySelector = fields.podSelector !== undefined || fields.namespaceSelector !== undefined;
  if (fields.ipBlock !== undefined) {
    if (bySelector) return refuse(report, path, 'ipBlock cannot be combined with podSelector or namespaceSelector');
    const block = readFields(report, at(path, 'ipBlock'), fields.ipBlock, IP_BLOCK);
    return block && parseCidrRule(report, at(path, 'ipBlock'), block, 'smaller');
  }
  if (!bySelector) return refuse(report, path, 'a peer needs podSelector, namespaceSelector or ipBlock', value);
  const pods = parseSelector(report, at(path, 'podSelector'), fields.podSelector ?? {}, 'k8s:');
  const namespaces =
    fields.namespaceSelector === undefined
      ? undefined
      : parseSelector(report, at(path, 'namespaceSelector'), fields.namespaceSelector, 'k8s:');
  if (!pods || (fields.namespaceSelector !== undefined && !namespaces)) return undefined;
  const selector = namespaces ? and(pods, ...ofNamespaces(namespaces)) : inNamespace(pods, namespace);
  return { type: 'endpoints', selector, localCluster: !mentions(pods, (r) => r.key === CLUSTER_KEY) };
}

/** A namespace's labels are labels of its endpoints, under a prefix. `{}` is every namespace. */
function ofNamespaces(selector: Selector): readonly Requirement[] {
  if (selector.requirements.length === 0) return [requirementOf(`k8s:${NAMESPACE_KEY}`, 'Exists', [])];
  return selector.requirements.map((r) => ({ ...r, source: 'k8s', key: NAMESPACE_LABELS_PREFIX + r.key }));
}

function inNamespace(pods: Selector, namespace: string): Selector {
  const own = requirementOf(`k8s:${NAMESPACE_KEY}`, 'In', [namespace]);
  return and({ requirements: pods.requirements.filter((r) => r.key !== NAMESPACE_KEY || r.operator !== 'In') }, own);
}
