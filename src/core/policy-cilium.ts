/** CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy (cilium.io/v2) as of Cilium 1.19 → normal form. */
import { NAMESPACE_KEY } from './label.ts';
import {
  at,
  type Fields,
  type FieldTable,
  type Report,
  readBoolean,
  readEach,
  readFields,
  readList,
  readObject,
  readString,
  refuse,
} from './policy-fields.ts';
import { parseMetadata } from './policy-metadata.ts';
import { type PeerScope, parsePeers } from './policy-peer.ts';
import { parseToPorts } from './policy-port.ts';
import { type Policy, type PolicyRule, policyRef, SECTIONS, type Section } from './policy-rule.ts';
import { parseSelector } from './policy-selector.ts';
import { and, mentions, requirementOf, type Selector } from './selector.ts';

const DOCUMENT: FieldTable = { known: ['apiVersion', 'kind', 'metadata', 'spec', 'specs', 'status'] };

const SPEC: FieldTable = {
  known: ['endpointSelector', ...SECTIONS, 'labels', 'enableDefaultDeny', 'description'],
  unsupported: { nodeSelector: '', log: '' },
};

const DEFAULT_DENY: FieldTable = { known: ['ingress', 'egress'] };
const REMOVED = 'not supported: Cilium removed it in 1.19';
const RENAMED = { auth: 'is called `authentication`' };
const INGRESS_PEERS = ['fromEndpoints', 'fromCIDR', 'fromCIDRSet', 'fromEntities'];
const EGRESS_PEERS = ['toEndpoints', 'toCIDR', 'toCIDRSet', 'toEntities'];
const INGRESS_UNSUPPORTED = { fromRequires: REMOVED, fromGroups: '', fromNodes: '', icmps: '' };
const EGRESS_UNSUPPORTED = { toRequires: REMOVED, toGroups: '', toNodes: '', toServices: '', icmps: '' };

const RULE: Readonly<Record<Section, FieldTable>> = {
  ingress: {
    known: [...INGRESS_PEERS, 'toPorts'],
    unsupported: { ...INGRESS_UNSUPPORTED, authentication: '' },
    misplaced: RENAMED,
  },
  ingressDeny: {
    known: [...INGRESS_PEERS, 'toPorts'],
    unsupported: INGRESS_UNSUPPORTED,
    misplaced: { authentication: 'is only allowed in ingress' },
  },
  egress: {
    known: [...EGRESS_PEERS, 'toPorts'],
    unsupported: { ...EGRESS_UNSUPPORTED, toFQDNs: '', authentication: '' },
    misplaced: RENAMED,
  },
  egressDeny: {
    known: [...EGRESS_PEERS, 'toPorts'],
    unsupported: EGRESS_UNSUPPORTED,
    misplaced: { authentication: 'is only allowed in egress', toFQDNs: 'is only allowed in egress' },
  },
};

export function parseCiliumPolicy(report: Report, object: Fields, kind: 'cnp' | 'ccnp'): Policy | undefined {
  const fields = readFields(report, '', object, DOCUMENT);
  const metadata = parseMetadata(report, object.metadata, kind === 'cnp' ? 'namespaced' : 'cluster');
  if (!fields) return undefined;
  const specs = fields.specs === undefined ? [] : readList(report, '/specs', fields.specs);
  if (fields.spec === undefined && !specs?.length) return refuse(report, '/spec', 'spec or specs is required');
  const ref = policyRef({ kind, name: '?', ...metadata });
  const rules = [
    ...(fields.spec === undefined ? [] : parseSpec(report, '/spec', fields.spec, `${ref} `, metadata?.namespace)),
    ...(specs ?? []).flatMap((spec, i) =>
      parseSpec(report, at('/specs', i), spec, `${ref} specs[${i}].`, metadata?.namespace),
    ),
  ];
  return metadata && { kind, ...metadata, rules };
}

/** @param prefix of the rules' names: the policy and, in `specs`, which */
function parseSpec(
  report: Report,
  path: string,
  value: unknown,
  prefix: string,
  namespace: string | undefined,
): PolicyRule[] {
  const fields = readFields(report, path, value, SPEC);
  if (!fields) return [];
  checkInformative(report, path, fields);
  const subject = parseSubject(report, path, value as Fields, fields, namespace);
  const defaultDeny = parseDefaultDeny(report, at(path, 'enableDefaultDeny'), fields.enableDefaultDeny);
  const scope: PeerScope = {
    ...(namespace === undefined ? {} : { namespace }),
    subjectIsInit: mentions(subject, (r) => r.source === 'reserved' && r.key === 'init'),
  };
  const rules = SECTIONS.flatMap((section) => {
    const direction = section === 'ingress' || section === 'ingressDeny' ? 'ingress' : 'egress';
    const deny = section === 'ingressDeny' || section === 'egressDeny';
    const elements = readEach(report, at(path, section), fields[section], (here, rule) =>
      parseRule(report, here, rule, section, scope),
    );
    return (elements ?? []).map(
      (match, index): PolicyRule => ({
        name: `${prefix}${section}[${index}]`,
        section,
        direction,
        deny,
        subject,
        ...match,
        defaultDeny: defaultDeny[direction] ?? true,
      }),
    );
  });
  if (SECTIONS.every((section) => !Array.isArray(fields[section]) || fields[section].length === 0)) {
    refuse(
      report,
      path,
      `at least one of ${SECTIONS.join(', ')} must have a rule; \`ingress: [{}]\` denies all ingress`,
    );
  }
  return rules;
}

/** Always within the policy's namespace, whatever it says itself; clusterwide, every endpoint that it selects. */
function parseSubject(
  report: Report,
  path: string,
  spec: Fields,
  fields: Fields,
  namespace: string | undefined,
): Selector {
  const here = at(path, 'endpointSelector');
  if (spec.nodeSelector != null && fields.endpointSelector !== undefined) {
    refuse(report, path, 'endpointSelector and nodeSelector cannot be combined');
  }
  if (fields.endpointSelector === undefined) {
    if (spec.nodeSelector == null) refuse(report, here, 'endpointSelector is required; {} selects every endpoint');
    return { requirements: [] };
  }
  const selector = parseSelector(report, here, fields.endpointSelector) ?? { requirements: [] };
  if (namespace === undefined) return selector;
  const foreign = selector.requirements.filter(
    (r) => r.source === 'k8s' && r.key === NAMESPACE_KEY && r.operator === 'In' && r.values.length === 1,
  );
  if (foreign.some((r) => r.values[0] !== namespace)) {
    report.warnings.push(`${here}: a policy protects its own namespace only; read as ${NAMESPACE_KEY}=${namespace}`);
  }
  const own = requirementOf(`k8s:${NAMESPACE_KEY}`, 'In', [namespace]);
  return and({ requirements: selector.requirements.filter((r) => !foreign.includes(r)) }, own);
}

function parseDefaultDeny(report: Report, path: string, value: unknown): { ingress?: boolean; egress?: boolean } {
  const fields = value === undefined ? undefined : readFields(report, path, value, DEFAULT_DENY);
  const read = (key: 'ingress' | 'egress') =>
    fields?.[key] === undefined ? undefined : readBoolean(report, at(path, key), fields[key]);
  const [ingress, egress] = [read('ingress'), read('egress')];
  return { ...(ingress === undefined ? {} : { ingress }), ...(egress === undefined ? {} : { egress }) };
}

/** One element of a section. Nothing in it (`{}`) selects nobody; ports alone select every peer. */
function parseRule(
  report: Report,
  path: string,
  value: unknown,
  section: Section,
  scope: PeerScope,
): Pick<PolicyRule, 'peers' | 'ports'> {
  const fields = readFields(report, path, value, RULE[section]);
  if (!fields) return { peers: [] };
  const deny = section === 'ingressDeny' || section === 'egressDeny';
  const peers = parsePeers(
    report,
    path,
    fields,
    section === 'ingress' || section === 'ingressDeny' ? 'from' : 'to',
    scope,
  );
  const ports = parseToPorts(report, at(path, 'toPorts'), fields.toPorts, deny);
  if (!peers && !ports) return { peers: [] };
  return { ...(peers ? { peers } : {}), ...(ports ? { ports } : {}) };
}

/** Fields that have no effect on a verdict. */
function checkInformative(report: Report, path: string, fields: Fields): void {
  if (fields.description !== undefined) readString(report, at(path, 'description'), fields.description);
  readEach(report, at(path, 'labels'), fields.labels, (here, label) =>
    typeof label === 'string' ? label : readObject(report, here, label),
  );
}
