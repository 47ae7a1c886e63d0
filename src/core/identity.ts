import type { NamedPort, NamedPorts } from './named-port.ts';

/**
 * Identity numbers, as Cilium lays them out (pkg/identity/numericidentity.go):
 * bits 0-15 the number, 16-23 the cluster, the top byte the scope (0 global, 1 local to the host: CIDR and FQDN).
 * A workload identity is allocated by the control plane; a local one by each agent, and means nothing elsewhere.
 */
export type IdentityId = number & { readonly __brand: 'IdentityId' };

export type PortProtocolName = NamedPort['protocol'];

export interface Identity {
  readonly id: IdentityId;
  /** What policy does to it; absent = enforce. `audit`: what would be dropped is forwarded and recorded; `observe`: nothing is judged. */
  readonly mode?: 'observe' | 'audit';
  /** Canonical `source:key=value`, sorted; see label.ts. */
  readonly labels: readonly string[];
  /** Policy may name them. */
  readonly ports?: NamedPorts;
}

export const RESERVED = {
  unknown: 0,
  host: 1,
  world: 2,
  unmanaged: 3,
  health: 4,
  init: 5,
  'remote-node': 6,
  'kube-apiserver': 7,
  ingress: 8,
  'world-ipv4': 9,
  'world-ipv6': 10,
} as const satisfies Record<string, number>;

export type ReservedName = keyof typeof RESERVED;

/** Numbers below it never name a workload that a user registered. */
export const MIN_WORKLOAD_NUMBER = 256;
export const MAX_WORKLOAD_NUMBER = 65535;
export const LOCAL_SCOPE = 0x01000000;

export function toIdentityId(id: number): IdentityId {
  return id as IdentityId;
}

/** @param number 256..65535 @param cluster 1..255 */
export function workloadIdentity(number: number, cluster = 1): IdentityId {
  return toIdentityId(((cluster << 16) | number) >>> 0);
}

/** @param number 1..0xffffff */
export function localIdentity(number: number): IdentityId {
  return toIdentityId((LOCAL_SCOPE | number) >>> 0);
}

/** A prefix that some policy names, numbered by this host alone. */
export function isLocalIdentity(id: number): boolean {
  return id >>> 24 === 1;
}

/** What a CIDR rule can match: an address outside, by prefix or as one of the two families of the world. */
export function isOutside(id: number): boolean {
  return isLocalIdentity(id) || id === RESERVED['world-ipv4'] || id === RESERVED['world-ipv6'];
}

/**
 * Whether policy can protect this identity. Addresses outside and other nodes have no side of their own. The host's own
 * processes are protected by host policies (`nodeSelector`) alone, and nobody else by them: see `protects`.
 */
export function isSubject(id: number): boolean {
  return SUBJECTS.includes(id) || (id >= 100 && id < LOCAL_SCOPE);
}

const SUBJECTS: readonly number[] = [RESERVED.host, RESERVED.init, RESERVED.health, RESERVED.ingress];

/** Whether a rule is of the kind that can protect this identity: host policies the host, all others endpoints. */
export function protects(rule: { readonly host?: true }, id: number): boolean {
  return (rule.host === true) === (id === RESERVED.host);
}

/** Every reserved identity that can be a peer. kube-apiserver is also a node, as in Cilium. */
export const RESERVED_IDENTITIES: readonly Identity[] = Object.entries(RESERVED)
  .filter(([name]) => name !== 'unknown')
  .map(([name, id]) => ({
    id: toIdentityId(id),
    labels: name === 'kube-apiserver' ? ['reserved:kube-apiserver', 'reserved:remote-node'] : [`reserved:${name}`],
  }));

export function reservedName(id: number): ReservedName | undefined {
  return (Object.keys(RESERVED) as ReservedName[]).find((name) => RESERVED[name] === id);
}
