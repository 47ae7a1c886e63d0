/**
 * The oracle: what policy says about one new connection. Slow and obvious; compile.ts must agree with it, and the
 * kernel with both. Meaning: Cilium 1.19 with policy-default-local-cluster, allow-localhost=policy.
 *
 * 1. A connection is forwarded iff the sender's egress and the receiver's ingress both forward it. Replies follow the
 *    connection and are never asked about.
 * 2. Only endpoints enforce: workloads that the world lists, and `init`, `health`, `ingress` and the host where they are
 *    listed. Addresses outside and other nodes forward everything on their side.
 * 3. A rule applies to an endpoint in one direction if its subject selects the endpoint's labels. A host policy applies
 *    to the host alone, and nothing else does. The host does not police itself.
 * 4. A rule matches a connection if its peers include the other end and its ports include the protocol and port.
 * 5. If a deny rule matches: dropped, POLICY_DENY.
 * 6. Else if an allow rule matches: forwarded, ALLOWED.
 * 7. Else if a rule that applies has default deny: dropped, POLICY_DENIED. `reserved:init` always has it.
 * 8. Else: forwarded, NOT_ENFORCED.
 * 9. Enforcement `never` forwards everything; `always` puts every endpoint into default deny, both directions.
 * 10. Peers. Absent: every peer, also one that nobody knows. Endpoints: those whose labels the selector selects, of
 *     this cluster unless the selector names one. Entities: by reserved labels (peer.ts). CIDR: addresses outside that
 *     lie in the prefix and in none of its exceptions; never a workload, a node or the host. A group of prefixes is each
 *     of them; one that does not exist is nobody.
 * 11. Ports. Absent: all traffic. Else only the protocols of the list: TCP, UDP and SCTP with a port in the range, ICMP
 *     of that type, VRRP and IGMP whole. A named port is the number that the receiver's identity declares under that
 *     name for that protocol; else nothing.
 * 12. Policies in audit: rules 5 to 8 are asked twice, of those in force, then of all. What those in force drop is dropped;
 *     else what all would drop is AUDIT, forwarded, with the rules that would have dropped it.
 *     An endpoint in audit has none in force, one that is observed is not judged on its side.
 * 13. `denial`: how what is dropped feels to the program, where a policy that decided says so; see denial.ts.
 * 14. Order never matters to a verdict. `rules` names the deciding rules in policy order, at most 8.
 */
import { addressPrefix, contains, type Prefix, parseAddress, parsePrefix } from './cidr.ts';
import { clearest, type Denial } from './denial.ts';
import { type Identity, type IdentityId, isOutside, isSubject, protects, RESERVED } from './identity.ts';
import { portsNamed } from './named-port.ts';
import { clusterRequirement, entitySelectors } from './peer.ts';
import { type Direction, type Peer, type Policy, type PolicyRule, policyRef } from './policy-rule.ts';
import { MAX_RULES } from './policy-table.ts';
import { type PortSet, portOf } from './protocol.ts';
import { and, indexLabels, selects } from './selector.ts';
import { builtInDefaultDeny, identitiesOf, policiesOf, type World } from './world.ts';

export interface Connection {
  readonly from: IdentityId;
  readonly to: IdentityId;
  /** Where an end is outside: its address. Without one, its identity's prefix stands for it. */
  readonly fromAddress?: string;
  readonly toAddress?: string;
  /** The destination's; for ICMP its type. Absent for other protocols without ports. */
  readonly port?: number;
  /** IP protocol number. */
  readonly protocol: number;
}

export type VerdictWord = 'FORWARDED' | 'DROPPED' | 'AUDIT';

export interface SideVerdict {
  readonly verdict: VerdictWord;
  readonly reason: 'POLICY_DENY' | 'POLICY_DENIED' | 'ALLOWED' | 'NOT_ENFORCED';
  readonly rules: readonly string[];
  /** Of what is dropped; absent = as the host has it. */
  readonly denial?: Denial;
}

export interface Verdict {
  readonly verdict: VerdictWord;
  readonly egress: SideVerdict;
  readonly ingress: SideVerdict;
}

export function verdict(world: World, connection: Connection): Verdict {
  const identities = identitiesOf(world);
  const from: End = { id: connection.from, identity: identities.get(connection.from), address: connection.fromAddress };
  const to: End = { id: connection.to, identity: identities.get(connection.to), address: connection.toAddress };
  const egress = side(world, 'egress', from, to, to, connection);
  const ingress = side(world, 'ingress', to, from, to, connection);
  return { verdict: worse(egress.verdict, ingress.verdict), egress, ingress };
}

/** Of a connection: dropped if one side drops it; audit if one side would have, were every policy in force. */
export function worse(a: VerdictWord, b: VerdictWord): VerdictWord {
  if (a === 'DROPPED' || b === 'DROPPED') return 'DROPPED';
  return a === 'AUDIT' || b === 'AUDIT' ? 'AUDIT' : 'FORWARDED';
}

interface End {
  readonly id: IdentityId;
  readonly identity: Identity | undefined;
  readonly address: string | undefined;
}

const NOT_ENFORCED: SideVerdict = { verdict: 'FORWARDED', reason: 'NOT_ENFORCED', rules: [] };

function side(
  world: World,
  direction: Direction,
  subject: End,
  peer: End,
  receiver: End,
  connection: Connection,
): SideVerdict {
  if (!subject.identity || !isProtected(world, subject.id) || world.enforcement === 'never') return NOT_ENFORCED;
  if (subject.identity.mode === 'observe') return NOT_ENFORCED;
  if (subject.id === RESERVED.host && peer.id === RESERVED.host) return NOT_ENFORCED;
  const labels = indexLabels(subject.identity.labels);
  const applying = [...policiesOf(world).values()]
    .flatMap((policy) => policy.rules.map((rule) => ({ policy, rule })))
    .filter(({ rule }) => rule.direction === direction && protects(rule, subject.id) && selects(rule.subject, labels));
  const { mode } = subject.identity;
  const inForce =
    mode === 'audit'
      ? NOT_ENFORCED
      : judge(
          world,
          applying.filter(({ policy }) => policy.mode !== 'audit'),
          subject,
          peer,
          receiver,
          connection,
        );
  if (inForce.verdict === 'DROPPED') return inForce;
  const whole = judge(world, applying, subject, peer, receiver, connection);
  if (whole.verdict === 'DROPPED') return { verdict: 'AUDIT', reason: whole.reason, rules: whole.rules };
  return inForce.reason === 'NOT_ENFORCED' ? whole : inForce;
}

function judge(
  world: World,
  applying: readonly Applying[],
  subject: End,
  peer: End,
  receiver: End,
  connection: Connection,
): SideVerdict {
  const matching = applying.filter(
    ({ rule }) => matchesPeer(world, rule, peer) && matchesPort(rule, receiver.identity, connection),
  );
  const denying = matching.filter(({ rule }) => rule.deny);
  if (denying.length > 0)
    return { verdict: 'DROPPED', reason: 'POLICY_DENY', rules: named(denying), ...feeling(denying) };
  if (matching.length > 0) return { verdict: 'FORWARDED', reason: 'ALLOWED', rules: named(matching) };
  const closing = applying.filter(({ rule }) => rule.defaultDeny);
  const source = closing[0] ? policyRef(closing[0].policy) : builtInDefaultDeny(world, subject.id);
  if (source === undefined) return NOT_ENFORCED;
  const rules = [`default deny of ${source}`];
  return { verdict: 'DROPPED', reason: 'POLICY_DENIED', rules, ...feeling(closing) };
}

function isProtected(world: World, id: IdentityId): boolean {
  return isSubject(id) && world.identities.some((identity) => identity.id === id);
}

type Applying = { readonly policy: Policy; readonly rule: PolicyRule };

function named(rules: readonly Applying[]): readonly string[] {
  return rules.slice(0, MAX_RULES).map(({ rule }) => rule.name);
}

function feeling(deciding: readonly Applying[]): { readonly denial?: Denial } {
  return clearest(deciding.map(({ policy }) => policy.denial));
}

function matchesPeer(world: World, rule: PolicyRule, peer: End): boolean {
  return !rule.peers || rule.peers.some((candidate) => includes(world, candidate, peer));
}

function includes(world: World, candidate: Peer, peer: End): boolean {
  const labels = indexLabels(peer.identity?.labels ?? []);
  switch (candidate.type) {
    case 'endpoints': {
      const cluster = candidate.localCluster ? [clusterRequirement(world.clusterName)] : [];
      return peer.identity !== undefined && selects(and(candidate.selector, ...cluster), labels);
    }
    case 'entity':
      if (candidate.entity === 'all') return true;
      return (
        peer.identity !== undefined &&
        entitySelectors(candidate.entity, world.clusterName).some((selector) => selects(selector, labels))
      );
    case 'cidr-group':
      return false; // `policiesOf` has put prefixes in its place
    case 'cidr': {
      const where = isOutside(peer.id) ? placeOf(world, peer) : undefined;
      if (!where || !contains(parsePrefix(candidate.prefix)!, where)) return false;
      return !candidate.except.some((except) => contains(parsePrefix(except)!, where));
    }
  }
}

/** The peer's address, or all that its identity stands for. */
function placeOf(world: World, peer: End): Prefix | undefined {
  if (peer.address !== undefined) {
    const address = parseAddress(peer.address);
    return address && addressPrefix(address);
  }
  if (peer.id === RESERVED['world-ipv4']) return parsePrefix('0.0.0.0/0');
  if (peer.id === RESERVED['world-ipv6']) return parsePrefix('::/0');
  const cidr = world.cidrs.find(({ id }) => id === peer.id);
  return cidr && parsePrefix(cidr.prefix);
}

function matchesPort(rule: PolicyRule, receiver: Identity | undefined, connection: Connection): boolean {
  return !rule.ports || rule.ports.some((set) => coversPort(set, receiver, connection));
}

function coversPort(set: PortSet, receiver: Identity | undefined, connection: Connection): boolean {
  const { protocol } = connection;
  const port = portOf(protocol, connection.port);
  if (port === undefined || !(set.protocols as readonly number[]).includes(protocol)) return false;
  if (!('name' in set)) return set.from <= port && port <= set.to;
  const declared = portsNamed(receiver?.ports, set.name);
  return declared.some((one) => one.port === port && PROTOCOL_NUMBER[one.protocol] === protocol);
}

const PROTOCOL_NUMBER = { TCP: 6, UDP: 17, SCTP: 132 } as const;
