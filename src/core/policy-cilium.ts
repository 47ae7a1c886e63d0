/** CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy (cilium.io/v2) as of Cilium 1.19 → normal form. */
import { NAMESPACE_KEY } from './label.ts';
import {
  at,
  type Fields,
  type FieldTable,
  need,
  type Report,
  readBoolean,
  readEach,
  readFields,
  readList,
  readObject,
  readString,
  refuse,
  refuseUnsupported,
} from './policy-fields.ts';
import { parseIcmps } from './policy-icmp.ts';
import { parseMetadata } from './policy-metadata.ts';
import { type PeerScope, parsePeers } from './policy-peer.ts';
import { parseToPorts } from './policy-port.ts';
import { type Policy, type PolicyRule, policyRef, SECTIONS, type Section } from './policy-rule.ts';
import { parseSelector } from './policy-selector.ts';
import { and, mentions, requirementOf, type Selector } from './selector.ts';

const DOCUMENT: FieldTable = { known: ['apiVersion', 'kind', 'metadata', 'spec', 'specs', 'status'] };

const SPEC: FieldTable = {
  known: ['endpointSelector', 'nodeSelector', ...SECTIONS, 'labels', 'enableDefaultDeny', 'description', 'log'],
};

const DEFAULT_DENY: FieldTable = { known: ['ingress', 'egress'] };
const LOG: FieldTable = { known: ['value'] };
const AUTHENTICATION: FieldTable = { known: ['mode'] };
const MODES = ['disabled', 'required', 'test-always-fail'];
const REMOVED = 'not supported: Cilium removed it in 1.19';
const IGNORED = 'not supported: Cilium ignores it in a deny rule';
const RENAMED = 'not supported: it is called `authentication` since Cilium 1.14';
const INGRESS = [
  'fromEndpoints',
  'fromCIDR',
  'fromCIDRSet',
  'fromEntities',
  'fromNodes',
  'fromGroups',
  'toPorts',
  'icmps',
];
const EGRESS = [
  'toEndpoints',
  'toCIDR',
  'toCIDRSet',
  'toEntities',
  'toNodes',
  'toGroups',
  'toServices',
  'toPorts',
  'icmps',
];

const RULE: Readonly<Record<Section, FieldTable>> = {
  ingress: {
    known: [...INGRESS, 'authentication'],
    unsupported: { fromRequires: REMOVED, auth: RENAMED },
  },
  ingressDeny: {
    known: INGRESS,
    unsupported: { fromRequires: REMOVED, authentication: IGNORED },
  },
  egress: {
    known: [...EGRESS, 'toFQDNs', 'authentication'],
    unsupported: { toRequires: REMOVED, auth: RENAMED },
  },
  egressDeny: {
    known: EGRESS,
    unsupported: { toRequires: REMOVED, authentication: IGNORED, toFQDNs: IGNORED },
  },
};

export function parseCiliumPolicy(report: Report, object: Fields, kind: 'cnp' | 'ccnp'): Policy | undefined {
  const fields = readFields(report, '', object, DOCUMENT);
  const metadata = parseMetadata(report, object.metadata, kind === 'cnp' ? 'namespaced' : 'cluster');
  if (!fields) return undefined;
  const specs = fields.specs === undefined ? [] : readList(report, '/specs', fields.specs);
  if (fields.spec === undefined && fields.specs === undefined) {
    return refuse(report, '/spec', 'spec or specs is required');
  }
  if (fields.spec === undefined && specs?.length === 0)
    report.warnings.push('/specs: empty, so the policy says nothing');
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
  const host = fields.nodeSelector !== undefined;
  const subject = host
    ? parseHost(report, path, fields, namespace)
    : parseSubject(report, path, fields.endpointSelector, namespace);
  const defaultDeny = parseDefaultDeny(report, at(path, 'enableDefaultDeny'), fields.enableDefaultDeny);
  const scope: PeerScope = {
    ...(namespace === undefined ? {} : { namespace }),
    subjectIsInit: mentions(subject, (r) => r.source === 'reserved' && r.key === 'init'),
  };
  const rules = SECTIONS.flatMap((section) => {
    const direction = section === 'ingress' || section === 'ingressDeny' ? 'ingress' : 'egress';
    const deny = section === 'ingressDeny' || section === 'egressDeny';
    const elements = readEach(report, at(path, section), fields[section], (here, rule) =>
      parseRule(report, here, rule, section, scope, host),
    );
    return (elements ?? []).map(
      (match, index): PolicyRule => ({
        name: `${prefix}${section}[${index}]`,
        section,
        direction,
        deny,
        subject,
        ...(host ? { host } : {}),
        ...match,
        defaultDeny: defaultDeny[direction] ?? true,
      }),
    );
  });
  const isSaidElsewhere = report.errors.some(({ path: at, message }) => {
    const [name, ...more] = at.startsWith(`${path}/`) ? at.slice(path.length + 1).split('/') : [];
    return (
      more.length === 0 &&
      name !== undefined &&
      (message.startsWith('unknown field') || (SECTIONS as readonly string[]).includes(name))
    );
  });
  if (
    !isSaidElsewhere &&
    SECTIONS.every((section) => !Array.isArray(fields[section]) || fields[section].length === 0)
  ) {
    refuse(
      report,
      path,
      `at least one of ${SECTIONS.join(', ')} must have a rule; \`ingress: [{}]\` denies all ingress`,
    );
  }
  return rules;
}

/** A host policy: only a clusterwide policy may have one, and it protects hosts alone. */
function parseHost(report: Report, path: string, fields: Fields, namespace: string | undefined): Selector {
  const here = at(path, 'nodeSelector');
  if (fields.endpointSelector !== undefined) {
    refuse(report, path, 'endpointSelector and nodeSelector cannot be combined');
  }
  if (namespace !== undefined) refuse(report, here, 'only a CiliumClusterwideNetworkPolicy may have a nodeSelector');
  need(report, 'nodeSelector', here, 'nodeSelector');
  return parseSelector(report, here, fields.nodeSelector) ?? { requirements: [] };
}

/** Always within the policy's namespace, whatever it says itself; clusterwide, every endpoint that it selects. */
function parseSubject(report: Report, path: string, value: unknown, namespace: string | undefined): Selector {
  const here = at(path, 'endpointSelector');
  if (value === undefined) {
    refuse(report, here, 'endpointSelector is required; {} selects every endpoint');
    return { requirements: [] };
  }
  const selector = parseSelector(report, here, value) ?? { requirements: [] };
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
  host: boolean,
): Pick<PolicyRule, 'peers' | 'ports'> {
  const fields = readFields(report, path, value, RULE[section]);
  if (!fields) return { peers: [] };
  const direction = section === 'ingress' || section === 'ingressDeny' ? 'ingress' : 'egress';
  const deny = section === 'ingressDeny' || section === 'egressDeny';
  const peers = parsePeers(report, path, fields, direction === 'ingress' ? 'from' : 'to', scope);
  const toPorts = parseToPorts(report, at(path, 'toPorts'), fields.toPorts, { direction, deny, host });
  const icmps = parseIcmps(report, at(path, 'icmps'), fields.icmps);
  if (toPorts && icmps)
    refuse(report, path, 'toPorts and icmps cannot be combined in one rule: write one rule for each');
  checkAuthentication(report, at(path, 'authentication'), fields.authentication);
  const ports = toPorts ?? icmps;
  if (!peers && !ports) return { peers: [] };
  return { ...(peers ? { peers } : {}), ...(ports ? { ports } : {}) };
}

/** `disabled` is what there is without it. */
function checkAuthentication(report: Report, path: string, value: unknown): void {
  const fields = value === undefined ? undefined : readFields(report, path, value, AUTHENTICATION);
  if (!fields) return;
  if (!MODES.includes(fields.mode as string)) refuse(report, at(path, 'mode'), 'unknown mode', fields.mode, MODES);
  else if (fields.mode !== 'disabled') {
    refuseUnsupported(
      report,
      path,
      'authentication',
      undefined,
      'not supported yet: peers do not authenticate each other',
    );
  }
}

const MAX_LOG = 32;

/** Fields that have no effect on a verdict. */
function checkInformative(report: Report, path: string, fields: Fields): void {
  if (fields.description !== undefined) readString(report, at(path, 'description'), fields.description);
  readEach(report, at(path, 'labels'), fields.labels, (here, label) =>
    typeof label === 'string' ? label : readObject(report, here, label),
  );
  const log = fields.log === undefined ? undefined : readFields(report, at(path, 'log'), fields.log, LOG);
  if (log?.value === undefined) return;
  const here = at(at(path, 'log'), 'value');
  const text = readString(report, here, log.value);
  if (text !== undefined && !(text.length <= MAX_LOG && /^[\x20-\x7e]*$/.test(text))) {
    refuse(report, here, `must be at most ${MAX_LOG} printable characters`, text);
  }
}
