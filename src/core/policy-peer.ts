/** Peers of a Cilium rule: `fromEndpoints`, `toCIDRSet`, … as one list. */
import { contains, formatPrefix, type Prefix, parseAddress, parsePrefix } from './cidr.ts';
import { CLUSTER_KEY, NAMESPACE_KEY, NAMESPACE_LABELS_PREFIX } from './label.ts';
import {
  at,
  type Fields,
  type FieldTable,
  type Report,
  readEach,
  readFields,
  readString,
  refuse,
  refuseUnsupported,
} from './policy-fields.ts';
import { ENTITIES, type Peer } from './policy-rule.ts';
import { parseSelector } from './policy-selector.ts';
import { and, mentions, type Requirement, requirementOf, type Selector } from './selector.ts';

export interface PeerScope {
  /** The policy's namespace; absent in a clusterwide policy. */
  readonly namespace?: string;
  /** The policy's subject names `reserved:init`: endpoints that have no namespace yet. */
  readonly subjectIsInit: boolean;
}

const CIDR_RULE: FieldTable = { known: ['cidr', 'except'], unsupported: { cidrGroupRef: '', cidrGroupSelector: '' } };

/**
 * Absent members only → undefined: every peer. A member that is present and empty selects nobody, and takes the
 * whole rule with it, as in Cilium. Two members that are not empty are refused.
 * @param side the prefix of the field names
 */
export function parsePeers(
  report: Report,
  path: string,
  fields: Fields,
  side: 'from' | 'to',
  scope: PeerScope,
): readonly Peer[] | undefined {
  const [endpoints, cidrs, cidrSet, entities] = (['Endpoints', 'CIDR', 'CIDRSet', 'Entities'] as const).map(
    (member) => `${side}${member}`,
  ) as [string, string, string, string];
  const lists: Record<string, readonly Peer[] | undefined> = {
    [endpoints]: readEach(report, at(path, endpoints), fields[endpoints], (here, value) => {
      const selector = parseSelector(report, here, value);
      return selector && toEndpointsPeer(selector, scope);
    }),
    [cidrs]: readEach(report, at(path, cidrs), fields[cidrs], (here, value) => parseCidr(report, here, value)),
    [cidrSet]: readEach(report, at(path, cidrSet), fields[cidrSet], (here, value) => {
      const rule = readFields(report, here, value, CIDR_RULE);
      return rule && parseCidrRule(report, here, rule, 'equal');
    }),
    [entities]: readEach(report, at(path, entities), fields[entities], (here, value) =>
      parseEntity(report, here, value),
    ),
  };
  const present = Object.entries(lists).filter(([, list]) => list !== undefined);
  const full = Object.keys(lists).filter(
    (name) => Array.isArray(fields[name]) && (fields[name] as unknown[]).length > 0,
  );
  if (full.length > 1) {
    refuse(report, path, `${full.join(' and ')} cannot be combined in one rule: write one rule for each`);
  }
  if (present.length === 0) return undefined;
  return present.some(([name]) => !full.includes(name)) ? [] : present.flatMap(([, list]) => list!);
}

/**
 * A selector that names no namespace means the policy's own, or, clusterwide, any: but only what has a namespace, so
 * that `{}` never means the world. One that names no cluster means this cluster. Reserved labels are in no namespace.
 */
function toEndpointsPeer(selector: Selector, scope: PeerScope): Peer {
  if (mentions(selector, (r) => r.source === 'reserved')) return { type: 'endpoints', selector, localCluster: false };
  const localCluster = !mentions(selector, (r) => isKubernetes(r) && r.key === CLUSTER_KEY);
  return { type: 'endpoints', selector: and(selector, ...namespaceRequirement(selector, scope)), localCluster };
}

function namespaceRequirement(selector: Selector, scope: PeerScope): Requirement[] {
  if (mentions(selector, (r) => isKubernetes(r) && r.key === NAMESPACE_KEY)) return [];
  if (scope.namespace === undefined) {
    return scope.subjectIsInit ? [] : [requirementOf(`k8s:${NAMESPACE_KEY}`, 'Exists', [])];
  }
  const byNamespaceLabels = mentions(selector, (r) => isKubernetes(r) && r.key.startsWith(NAMESPACE_LABELS_PREFIX));
  return byNamespaceLabels ? [] : [requirementOf(`k8s:${NAMESPACE_KEY}`, 'In', [scope.namespace])];
}

function isKubernetes(requirement: Requirement): boolean {
  return requirement.source === 'k8s' || requirement.source === 'any';
}

function parseEntity(report: Report, path: string, value: unknown): Peer | undefined {
  if (value === 'cluster-mesh') return refuseUnsupported(report, path, 'entity cluster-mesh', value);
  const entity = ENTITIES.find((name) => name === value);
  return entity ? { type: 'entity', entity } : refuse(report, path, 'unknown entity', value, ENTITIES);
}

/** One of `fromCIDR`: an address alone is a prefix of full length. */
function parseCidr(report: Report, path: string, value: unknown): Peer | undefined {
  const prefix = readPrefix(report, path, value, true);
  return prefix && { type: 'cidr', prefix: formatPrefix(prefix), except: [] };
}

/**
 * `{cidr, except}` of Cilium and of NetworkPolicy's ipBlock.
 * @param except whether an exception may be as large as the cidr: Cilium says yes, Kubernetes no
 */
export function parseCidrRule(
  report: Report,
  path: string,
  fields: Fields,
  except: 'equal' | 'smaller',
): Peer | undefined {
  if (fields.cidr === undefined) return refuse(report, at(path, 'cidr'), 'cidr is required');
  const outer = readPrefix(report, at(path, 'cidr'), fields.cidr, false);
  const inner = readEach(report, at(path, 'except'), fields.except, (here, value) => {
    const prefix = readPrefix(report, here, value, false);
    if (!prefix || !outer) return undefined;
    const fits = contains(outer, prefix) && (except === 'equal' || prefix.length > outer.length);
    return fits ? formatPrefix(prefix) : refuse(report, here, `must lie within ${formatPrefix(outer)}`, value);
  });
  return outer && { type: 'cidr', prefix: formatPrefix(outer), except: [...new Set(inner ?? [])].sort() };
}

function readPrefix(report: Report, path: string, value: unknown, bare: boolean): Prefix | undefined {
  const text = readString(report, path, value);
  if (text === undefined) return undefined;
  const prefix = parsePrefix(text, { bare });
  if (!prefix) {
    return refuse(
      report,
      path,
      bare ? 'must be an address or address/length' : 'must be address/length, such as 10.0.0.0/8',
      text,
    );
  }
  const written = parseAddress(text.split('/')[0]!)!;
  if (written.some((byte, i) => byte !== prefix.bytes[i])) {
    report.warnings.push(`${path}: ${text} is read as ${formatPrefix(prefix)}`);
  }
  return prefix;
}
