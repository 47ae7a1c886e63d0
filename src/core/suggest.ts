/**
 * From connections that were seen, the least CiliumNetworkPolicy documents that allow them.
 *
 * 1. One document for each set of labels that is protected, with the sections whose traffic was seen.
 * 2. Every pair of peer and port that was seen is in exactly one rule, and no other pair is: nothing more is allowed, and
 *    no rule can be left out. Among rules of equal ports and rules of equal peers, whichever are fewer are written.
 * 3. A selector selects the workloads with just these labels: where others have more of them, the keys that only they have
 *    must be absent.
 * 4. More than `MOST_ADDRESSES` addresses outside are the entity world: the one place where more is allowed than was seen.
 * 5. A protocol without ports or types that a rule could name (ICMP too, until `icmps` is supported) allows all with its peer.
 */
import { parseAddress } from './cidr.ts';
import { NAMESPACE_KEY } from './label.ts';
import { ICMP, ICMPV6, PROTOCOLS } from './protocol.ts';

export type SuggestedEnd =
  | {
      readonly type: 'workload';
      readonly namespace: string;
      readonly labels: Readonly<Record<string, string>>;
      readonly name: string;
    }
  | { readonly type: 'entity'; readonly entity: string }
  | { readonly type: 'address'; readonly ip: string };

export interface SeenConnection {
  readonly from: SuggestedEnd;
  readonly to: SuggestedEnd;
  readonly protocol: number;
  /** Of ICMP the type. */
  readonly port?: number;
  readonly flows: number;
  /** RFC 3339 */
  readonly last: string;
}

export interface SuggestedPolicy {
  readonly namespace: string;
  readonly name: string;
  readonly document: Readonly<Record<string, unknown>>;
  /** What each rule is for, in words. */
  readonly comments: readonly string[];
}

export interface Registered {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

export const MOST_ADDRESSES = 16;
/** Cilium's limit of one rule. */
const MOST_PORTS = 40;

type Workload = Extract<SuggestedEnd, { type: 'workload' }>;
type Direction = 'ingress' | 'egress';

export interface Scope {
  /** Which ends get a document, and in which direction. */
  readonly isProtected: (end: Workload, direction: Direction) => boolean;
  /** Whether a rule may name ICMP types. */
  readonly icmps: boolean;
}

export function suggestPolicies(
  seen: readonly SeenConnection[],
  registered: readonly Registered[],
  { isProtected, icmps }: Scope,
): SuggestedPolicy[] {
  const known = icmps ? seen : seen.map(withoutIcmpType);
  const subjects = new Map<string, { readonly end: Workload; readonly sides: Record<Direction, SeenConnection[]> }>();
  for (const connection of known) {
    for (const direction of ['ingress', 'egress'] as const) {
      const end = direction === 'ingress' ? connection.to : connection.from;
      if (end.type !== 'workload' || !isProtected(end, direction)) continue;
      const key = workloadKey(end);
      const subject = subjects.get(key) ?? { end, sides: { ingress: [], egress: [] } };
      subjects.set(key, subject);
      subject.sides[direction].push(connection);
    }
  }
  return [...subjects.values()]
    .map(({ end, sides }) => toPolicy(end, sides, registered))
    .sort((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1));
}

function toPolicy(
  end: Workload,
  sides: Record<Direction, SeenConnection[]>,
  registered: readonly Registered[],
): SuggestedPolicy {
  const name = `${end.name}-observed`;
  const comments: string[] = [];
  const sections = (['ingress', 'egress'] as const).flatMap((direction) => {
    const rules = rulesOf(sides[direction], direction, end.namespace, registered);
    comments.push(...rules.map(({ comment }, i) => `${direction}[${i}]: ${comment}`));
    return rules.length === 0 ? [] : [[direction, rules.map(({ rule }) => rule)] as const];
  });
  const spec = { endpointSelector: selectorOf(end, registered), ...Object.fromEntries(sections) };
  const metadata = { name, namespace: end.namespace };
  const document = { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata, spec };
  return { namespace: end.namespace, name, document, comments };
}

function withoutIcmpType(connection: SeenConnection): SeenConnection {
  const { port: _type, ...rest } = connection;
  return connection.protocol === ICMP || connection.protocol === ICMPV6 ? rest : connection;
}

/** One end of the other side as a rule can name it. */
interface Peer {
  readonly key: string;
  readonly kind: 'Endpoints' | 'Entities' | 'CIDR';
  readonly value: unknown;
  readonly text: string;
}

interface Pair {
  readonly peer: Peer;
  readonly port: Port;
  flows: number;
  last: string;
}

interface Port {
  readonly key: string;
  /** Which list of a rule names it; `all` = none can. */
  readonly list: 'toPorts' | 'icmps' | 'all';
  readonly value: unknown;
  readonly order: number;
}

function rulesOf(
  connections: readonly SeenConnection[],
  direction: Direction,
  namespace: string,
  registered: readonly Registered[],
): { rule: object; comment: string }[] {
  const side = direction === 'ingress' ? 'from' : 'to';
  const addresses = new Set(connections.flatMap(({ [side]: other }) => (other.type === 'address' ? [other.ip] : [])));
  const pairs = new Map<string, Pair>();
  for (const connection of connections) {
    const peer = toPeer(connection[side], namespace, registered, addresses.size > MOST_ADDRESSES);
    const port = toPort(connection);
    const key = `${peer.key} ${port.key}`;
    const pair = pairs.get(key) ?? { peer, port, flows: 0, last: connection.last };
    pairs.set(key, pair);
    pair.flows += connection.flows;
    if (connection.last > pair.last) pair.last = connection.last;
  }
  const open = new Set([...pairs.values()].filter(({ port }) => port.list === 'all').map(({ peer }) => peer.key));
  // Who may send everything needs no port of its own.
  const needed = [...pairs.values()]
    .filter(({ peer, port }) => port.list === 'all' || !open.has(peer.key))
    .sort((a, b) => (a.peer.key === b.peer.key ? a.port.order - b.port.order : a.peer.key < b.peer.key ? -1 : 1));
  const groups = Map.groupBy(needed, ({ peer, port }) => `${peer.kind} ${port.list}`);
  return [...groups.keys()].sort().flatMap((name) => fewest(groups.get(name)!).map((group) => toRule(group, side)));
}

/** Pairs as rectangles of peers × ports: by equal ports or by equal peers. */
function fewest(pairs: readonly Pair[]): Pair[][] {
  const byPorts = rectangles(
    pairs,
    ({ peer }) => peer.key,
    ({ port }) => port.key,
  );
  const byPeers = rectangles(
    pairs,
    ({ port }) => port.key,
    ({ peer }) => peer.key,
  );
  return (byPeers.length < byPorts.length ? byPeers : byPorts).flatMap(chunks);
}

function rectangles(pairs: readonly Pair[], row: (pair: Pair) => string, column: (pair: Pair) => string): Pair[][] {
  const rows = Map.groupBy(pairs, row);
  const alike = Map.groupBy(rows.values(), (cells) => cells.map(column).sort().join(' '));
  return [...alike.values()].map((group) => group.flat());
}

function chunks(pairs: Pair[]): Pair[][] {
  const ports = [...new Set(pairs.map(({ port }) => port.key))];
  const result: Pair[][] = [];
  for (let i = 0; i < ports.length; i += MOST_PORTS) {
    const some = new Set(ports.slice(i, i + MOST_PORTS));
    result.push(pairs.filter(({ port }) => some.has(port.key)));
  }
  return result;
}

function toRule(pairs: readonly Pair[], side: 'from' | 'to'): { rule: object; comment: string } {
  const { peer, port } = pairs[0]!;
  const peers = unique(pairs.map((pair) => pair.peer)).sort((a, b) => (a.key < b.key ? -1 : 1));
  const ports = unique(pairs.map((pair) => pair.port)).sort((a, b) => a.order - b.order);
  const values = ports.map(({ value }) => value);
  const rule = {
    [`${side}${peer.kind}`]: peers.map(({ value }) => value),
    ...(port.list === 'toPorts' && { toPorts: [{ ports: values }] }),
    ...(port.list === 'icmps' && { icmps: [{ fields: values }] }),
  };
  const flows = pairs.reduce((sum, pair) => sum + pair.flows, 0);
  const last = pairs.reduce((latest, pair) => (pair.last > latest ? pair.last : latest), '');
  const seen = `${flows} flow${flows === 1 ? '' : 's'}, last ${last}`;
  const whole = port.list === 'all' ? '; a protocol that no rule can name was among them, so all are allowed' : '';
  return { rule, comment: `${side} ${peers.map(({ text }) => text).join(', ')}: ${seen}${whole}` };
}

function unique<T extends { readonly key: string }>(items: readonly T[]): T[] {
  return [...new Map(items.map((item) => [item.key, item])).values()];
}

function toPeer(end: SuggestedEnd, namespace: string, registered: readonly Registered[], isMany: boolean): Peer {
  if (end.type === 'workload') {
    const value = selectorOf(end, registered, namespace);
    return { key: `w ${workloadKey(end)}`, kind: 'Endpoints', value, text: `${end.namespace}/${end.name}` };
  }
  const entity = end.type === 'entity' ? end.entity : isMany ? 'world' : undefined;
  if (entity !== undefined) return { key: `e ${entity}`, kind: 'Entities', value: entity, text: entity };
  const { ip } = end as Extract<SuggestedEnd, { type: 'address' }>;
  const isV4 = !ip.includes(':') || parseAddress(ip)?.subarray(0, 12).join() === '0,0,0,0,0,0,0,0,0,0,255,255';
  return { key: `a ${ip}`, kind: 'CIDR', value: `${ip}/${isV4 && !ip.includes(':') ? 32 : 128}`, text: ip };
}

function toPort({ protocol, port }: SeenConnection): Port {
  const all: Port = { key: '*', list: 'all', value: undefined, order: 0 };
  if (port === undefined) return all;
  if (protocol === ICMP || protocol === ICMPV6) {
    const family = protocol === ICMP ? 'IPv4' : 'IPv6';
    return { key: `i${protocol}/${port}`, list: 'icmps', value: { family, type: port }, order: port };
  }
  const name = Object.entries(PROTOCOLS).find(([, number]) => number === protocol)?.[0];
  // Port 0 would mean every port.
  if (name === undefined || port === 0) return all;
  const value = { port: String(port), protocol: name };
  return { key: `p${protocol}/${port}`, list: 'toPorts', value, order: port * 256 + protocol };
}

/** @param namespace of the policy, where the selector is a peer's */
function selectorOf({ namespace: own, labels }: Workload, registered: readonly Registered[], namespace = own): object {
  const absent = keysOfOthers(own, labels, registered);
  const elsewhere = own === namespace ? {} : { [`k8s:${NAMESPACE_KEY}`]: own };
  return {
    matchLabels: { ...elsewhere, ...labels },
    ...(absent.length > 0 && { matchExpressions: absent.map((key) => ({ key, operator: 'DoesNotExist' })) }),
  };
}

/** Keys, of which everybody who has these labels and more has at least one. */
function keysOfOthers(namespace: string, labels: Workload['labels'], registered: readonly Registered[]): string[] {
  const keys = new Set<string>();
  const own = Object.entries(labels);
  for (const other of registered) {
    if (other.namespace !== namespace || !own.every(([key, value]) => other.labels[key] === value)) continue;
    const more = Object.keys(other.labels).filter((key) => !Object.hasOwn(labels, key));
    if (more.length > 0 && !more.some((key) => keys.has(key))) keys.add(more.sort()[0]!);
  }
  return [...keys].sort();
}

function workloadKey({ namespace, labels }: Workload): string {
  return `${namespace} ${JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))}`;
}
