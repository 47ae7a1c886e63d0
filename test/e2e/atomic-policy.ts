/** Random policy changes over four workloads, in which every side of every connection is opened, closed and audited all the time. */

export const APPS = ['a', 'b', 's', 't'] as const;
export const PORTS = [7001, 7002] as const;

export type Document = {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string; readonly annotations?: object };
} & Record<string, unknown>;

export interface Change {
  readonly put: readonly Document[];
  /** A name to delete. */
  readonly gone?: string;
}

const NAMES = ['p0', 'p1', 'p2', 'p3', 'p4'] as const;
const ENTITIES = ['all', 'world', 'cluster', 'host'] as const;

/** mulberry32: the same seed, the same changes. */
export function createRandom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** @param present names that exist @param prefixes what CIDR rules may name */
export function nextChange(
  random: (below: number) => number,
  present: ReadonlySet<string>,
  prefixes: readonly string[],
): Change {
  const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;
  const what = random(10);
  if (what < 2 && present.size > 0) return { put: [], gone: pick([...present]) };
  const names = what < 4 ? [...NAMES].filter(() => random(2) === 0) : [pick(NAMES)];
  return { put: (names.length > 0 ? names : [pick(NAMES)]).map((name) => policy(name, pick, prefixes)) };
}

type Pick = <T>(list: readonly T[]) => T;

function policy(name: string, pick: Pick, prefixes: readonly string[]): Document {
  const some = <T>(make: () => T): T[] => Array.from({ length: pick([1, 1, 2]) }, make);
  const sections: Record<string, unknown> = {};
  for (const section of ['ingress', 'egress', 'ingressDeny', 'egressDeny'])
    if (pick(section.endsWith('Deny') ? [true, false, false, false] : [true, true, false]))
      sections[section] = some(() => rule(section.startsWith('in') ? 'from' : 'to', pick, prefixes));
  if (Object.keys(sections).length === 0) sections.ingress = [{}];
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: {
      ...{ name, namespace: 'shop' },
      ...(pick([0, 0, 0, 0, 1]) === 1 && { annotations: { 'postern.dev/mode': 'audit' } }),
    },
    spec: { endpointSelector: selector(pick), ...sections },
  };
}

function rule(side: 'from' | 'to', pick: Pick, prefixes: readonly string[]): object {
  const kind = pick(['Endpoints', 'Endpoints', 'Entities', 'CIDR', '']);
  const peers = {
    Endpoints: () => [selector(pick), selector(pick)],
    Entities: () => [pick(ENTITIES)],
    CIDR: () => [pick(prefixes), pick(prefixes)],
  };
  const list = kind === '' ? {} : { [`${side}${kind}`]: peers[kind as keyof typeof peers]() };
  const ports = { port: String(pick(PORTS)), protocol: pick(['TCP', 'UDP', 'ANY']) };
  return { ...list, ...(pick([true, false]) && { toPorts: [{ ports: [ports] }] }) };
}

function selector(pick: Pick): object {
  const app = pick([...APPS, 'clients', 'far', '']);
  if (app === '') return {};
  return { matchLabels: app === 'clients' ? { tier: 'client' } : { app } };
}
