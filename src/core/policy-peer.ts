/** Peers of a Cilium rule: `fromEndpoints`, `toCIDRSet`, … as one list. */
import { CLUSTER_KEY, NAMESPACE_KEY, NAMESPACE_LABELS_PREFIX } from './label.ts';
import { parseCidr, parseCidrSetRule } from './policy-cidr.ts';
import { checkFqdns, checkGroups, checkServices } from './policy-elsewhere.ts';
import { at, type Fields, need, type Report, readEach, refuse } from './policy-fields.ts';
import { ENTITIES, type Peer } from './policy-rule.ts';
import { parseSelector } from './policy-selector.ts';
import { and, mentions, type Requirement, requirementOf, type Selector } from './selector.ts';

export interface PeerScope {
  /** The policy's namespace; absent in a clusterwide policy. */
  readonly namespace?: string;
  /** The policy's subject names `reserved:init`: endpoints that have no namespace yet. */
  readonly subjectIsInit: boolean;
}

/** Those that select nobody when they are present and empty; an empty list of the others is as if absent. */
const MEMBERS = ['Endpoints', 'CIDR', 'CIDRSet', 'Entities'] as const;
const OTHERS = ['Nodes', 'Groups', 'Services', 'FQDNs'] as const;

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
  const read = (member: string, one: (here: string, value: unknown) => Peer | undefined) =>
    readEach(report, at(path, side + member), fields[side + member], one);
  const lists: Record<string, readonly Peer[] | undefined> = {
    Endpoints: read('Endpoints', (here, value) => {
      const selector = parseSelector(report, here, value);
      return selector && toEndpointsPeer(selector, scope);
    }),
    CIDR: read('CIDR', (here, value) => parseCidr(report, here, value)),
    CIDRSet: read('CIDRSet', (here, value) => parseCidrSetRule(report, here, value)),
    Entities: read('Entities', (here, value) => parseEntity(report, here, value)),
    Nodes: read('Nodes', (here, value) => {
      const selector = parseSelector(report, here, value);
      return selector && toNodesPeer(selector);
    }),
  };
  const isFull = (member: string) => Array.isArray(fields[side + member]) && (fields[side + member] as []).length > 0;
  const full = [...MEMBERS, ...OTHERS].filter(isFull);
  if (full.length > 1) {
    const names = full.map((member) => side + member).join(' and ');
    refuse(report, path, `${names} cannot be combined in one rule: write one rule for each`);
  }
  if (isFull('Nodes')) need(report, 'nodes', at(path, `${side}Nodes`), `${side}Nodes`);
  checkGroups(report, at(path, `${side}Groups`), fields[`${side}Groups`], `${side}Groups`);
  checkServices(report, at(path, 'toServices'), fields.toServices);
  checkFqdns(report, at(path, 'toFQDNs'), fields.toFQDNs);
  if (MEMBERS.some((member) => lists[member] !== undefined && !isFull(member))) return [];
  return full.length === 0 ? undefined : full.flatMap((member) => lists[member] ?? []);
}

/**
 * A selector that names no namespace means the policy's own, or, clusterwide, any: but only what has a namespace, so
 * that `{}` never means the world. One that names no cluster means this cluster. Reserved labels are in no namespace.
 */
function toEndpointsPeer(selector: Selector, scope: PeerScope): Peer {
  if (mentions(selector, (r) => r.source === 'reserved')) return { type: 'endpoints', selector, localCluster: false };
  const namespaced = and(selector, ...namespaceRequirement(selector, scope));
  return { type: 'endpoints', selector: namespaced, localCluster: namesNoCluster(selector) };
}

/** Other hosts by their labels; never this one. */
function toNodesPeer(selector: Selector): Peer {
  const remote = requirementOf('reserved:remote-node', 'Exists', []);
  return { type: 'endpoints', selector: and(selector, remote), localCluster: namesNoCluster(selector) };
}

function namesNoCluster(selector: Selector): boolean {
  return !mentions(selector, (r) => isKubernetes(r) && r.key === CLUSTER_KEY);
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
  const entity = ENTITIES.find((name) => name === value);
  if (entity) return { type: 'entity', entity };
  const since = value === 'cluster-mesh' ? ' (Cilium knows it since 1.20)' : '';
  return refuse(report, path, `unknown entity${since}`, value, ENTITIES);
}
