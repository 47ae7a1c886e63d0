/**
 * A policy document in normal form: what CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy and NetworkPolicy have
 * in common once their differences (defaults, namespaces, empty lists) are resolved. Meaning: Cilium 1.19.
 *
 * 1. A rule belongs to one section of one policy and protects, in one direction, the endpoints that `subject` selects.
 * 2. `peers` absent = every peer, known or not. An empty list = nobody.
 * 3. `ports` absent = all traffic, ICMP too. A list = only what one of its members covers (protocol.ts). An empty list = nothing.
 * 4. `defaultDeny`: the rule puts its subject into default deny in its direction, whether or not it matches anything.
 * 5. Rules are ordered by kind, namespace, name, spec, section, index: this order decides which is named first, never the verdict.
 */
import type { Denial } from './denial.ts';
import type { PortSet } from './protocol.ts';
import type { Selector } from './selector.ts';

/** `ccg` (CiliumCIDRGroup) has no rules: it is what `cidrGroupRef` and `cidrGroupSelector` of others name. */
export type PolicyKind = 'cnp' | 'ccnp' | 'netpol' | 'ccg';
export type Direction = 'ingress' | 'egress';
export type Section = 'ingress' | 'ingressDeny' | 'egress' | 'egressDeny';
export const SECTIONS = ['ingress', 'ingressDeny', 'egress', 'egressDeny'] as const satisfies readonly Section[];

export const ENTITIES = [
  'all',
  'world',
  'world-ipv4',
  'world-ipv6',
  'cluster',
  'host',
  'remote-node',
  'kube-apiserver',
  'ingress',
  'init',
  'unmanaged',
  'health',
  'none',
] as const;
export type Entity = (typeof ENTITIES)[number];

export type Peer =
  /** `localCluster`: the selector names no cluster, so it means the one that the policy lives in. */
  | { readonly type: 'endpoints'; readonly selector: Selector; readonly localCluster: boolean }
  | { readonly type: 'entity'; readonly entity: Entity }
  /** Canonical prefixes. Matches addresses outside only, never workloads or nodes. */
  | { readonly type: 'cidr'; readonly prefix: string; readonly except: readonly string[] }
  /** The prefixes of the CiliumCIDRGroups of that name or with such labels; policy-cidr-group.ts resolves it. */
  | { readonly type: 'cidr-group'; readonly groups: string | Selector; readonly except: readonly string[] };

export interface PolicyRule {
  /** As flows and reports show it: `cnp/shop/backend ingress[0]`. */
  readonly name: string;
  readonly section: Section;
  readonly direction: Direction;
  readonly deny: boolean;
  readonly subject: Selector;
  /** A host policy (`nodeSelector`): it protects the host's own processes where `subject` selects the host, and no workload. */
  readonly host?: true;
  readonly peers?: readonly Peer[];
  readonly ports?: readonly PortSet[];
  readonly defaultDeny: boolean;
}

export interface Policy {
  readonly kind: PolicyKind;
  /** Annotation `postern.dev/mode`; absent = enforce. What it would deny is recorded, and it opens and closes nothing. */
  readonly mode?: 'audit';
  /** Annotation `postern.dev/deny`; absent = as the host has it. */
  readonly denial?: Denial;
  /** Absent for `ccnp` and `ccg`. */
  readonly namespace?: string;
  readonly name: string;
  /** In order: spec, then section, then index. */
  readonly rules: readonly PolicyRule[];
  /** Of a `ccg`. */
  readonly group?: CidrGroup;
}

export interface CidrGroup {
  /** `cidrgroup:key=value`, what a `cidrGroupSelector` selects. */
  readonly labels: readonly string[];
  /** Canonical, sorted, without duplicates. */
  readonly prefixes: readonly string[];
}

/** `cnp/shop/backend`, `ccnp/name`. */
export function policyRef(policy: Pick<Policy, 'kind' | 'namespace' | 'name'>): string {
  return policy.namespace === undefined
    ? `${policy.kind}/${policy.name}`
    : `${policy.kind}/${policy.namespace}/${policy.name}`;
}
