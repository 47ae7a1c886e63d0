import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RESERVED, toIdentityId, workloadIdentity } from '../../src/core/identity.ts';
import { workloadLabels } from '../../src/core/label.ts';
import { parsePolicy } from '../../src/core/policy.ts';
import { FEATURES } from '../../src/core/policy-fields.ts';
import { type SeenConnection, type SuggestedEnd, suggestPolicies } from '../../src/core/suggest.ts';
import { verdict } from '../../src/core/verdict.ts';
import type { World } from '../../src/core/world.ts';

const test = suite('suggest');

interface Registered {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly name: string;
}

// Labels of some are more labels of others, also in another namespace.
const WORKLOADS: readonly Registered[] = [
  { namespace: 'shop', labels: { app: 'web' }, name: 'web' },
  { namespace: 'shop', labels: { app: 'web', tier: 'a' }, name: 'web-a' },
  { namespace: 'shop', labels: { app: 'web', tier: 'a', canary: 'yes' }, name: 'web-c' },
  { namespace: 'shop', labels: { app: 'db' }, name: 'db' },
  { namespace: 'lab', labels: { app: 'web' }, name: 'web' },
  { namespace: 'lab', labels: {}, name: 'bare' },
];
const ADDRESSES = ['192.0.2.7', '198.51.100.9', '2001:db8::7'];

const ends: readonly SuggestedEnd[] = [
  ...WORKLOADS.map((workload): SuggestedEnd => ({ type: 'workload', ...workload })),
  { type: 'entity', entity: 'host' },
  { type: 'entity', entity: 'remote-node' },
  ...ADDRESSES.map((ip): SuggestedEnd => ({ type: 'address', ip })),
];
const PORTS: readonly { readonly protocol: number; readonly port?: number }[] = [
  { protocol: 6, port: 80 },
  { protocol: 6, port: 443 },
  { protocol: 17, port: 53 },
  { protocol: 132, port: 80 },
  { protocol: 1, port: 8 },
  { protocol: 58, port: 128 },
  { protocol: 136 },
];

type Edge = readonly [from: number, to: number, port: number];

function toSeen([from, to, port]: Edge): SeenConnection {
  return { from: ends[from]!, to: ends[to]!, ...PORTS[port]!, flows: 1, last: '2026-11-24T00:00:00Z' };
}

function worldOf(documents: readonly unknown[]): World {
  const policies = documents.map((document) => {
    const result = parsePolicy(document, new Set(FEATURES));
    if (!result.ok) throw new Error(JSON.stringify([document, result.errors]));
    return result.value;
  });
  return {
    identities: WORKLOADS.map(({ namespace, labels }, i) => ({
      id: workloadIdentity(300 + i),
      labels: workloadLabels(namespace, labels),
    })),
    cidrs: [],
    policies,
    namespaces: {},
    clusterName: 'default',
  };
}

function judge(world: World, [from, to, port]: Edge) {
  const id = (i: number) => {
    const end = ends[i]!;
    if (end.type === 'workload') return workloadIdentity(300 + i);
    if (end.type === 'entity') return toIdentityId(RESERVED[end.entity as 'host']);
    return toIdentityId(end.ip.includes(':') ? RESERVED['world-ipv6'] : RESERVED['world-ipv4']);
  };
  const address = (i: number) => (ends[i]!.type === 'address' ? (ends[i] as { ip: string }).ip : undefined);
  const [fromAddress, toAddress] = [address(from), address(to)];
  return verdict(world, {
    from: id(from),
    to: id(to),
    ...PORTS[port]!,
    ...(fromAddress !== undefined && { fromAddress }),
    ...(toAddress !== undefined && { toAddress }),
  });
}

const ALL = { isProtected: () => true, icmps: true };
// biome-ignore lint/suspicious/noExplicitAny: a document
const documentsOf = (edges: readonly Edge[], icmps = true): any[] =>
  suggestPolicies(edges.map(toSeen), WORKLOADS, { ...ALL, icmps }).map(({ document }) => document);

const edge = fc.tuple(fc.nat(ends.length - 1), fc.nat(ends.length - 1), fc.nat(PORTS.length - 1)) as fc.Arbitrary<Edge>;
const someEdges = fc.uniqueArray(edge, { minLength: 1, maxLength: 25, selector: (one) => one.join() });

test('what was seen is allowed, and nothing else where something was seen', () => {
  fc.assert(
    fc.property(someEdges, fc.boolean(), (edges, icmps) => {
      const world = worldOf(documentsOf(edges, icmps));
      for (const one of edges) assert.is(judge(world, one).verdict, 'FORWARDED');
      const seen = new Set(edges.map((one) => one.join()));
      const unnamed = icmps ? [6] : [4, 5, 6];
      const isAll = new Set(edges.filter(([, , port]) => unnamed.includes(port)).map(([from, to]) => `${from},${to}`));
      for (const side of ['ingress', 'egress'] as const) {
        const own = side === 'ingress' ? 1 : 0;
        const protectedEnds = new Set(edges.map((one) => one[own]).filter((end) => ends[end]!.type === 'workload'));
        for (const subject of protectedEnds) {
          for (let peer = 0; peer < ends.length; peer++) {
            for (let port = 0; port < PORTS.length; port++) {
              const one: Edge = own === 1 ? [peer, subject, port] : [subject, peer, port];
              const allowed = seen.has(one.join()) || isAll.has(`${one[0]},${one[1]}`);
              assert.is(judge(world, one)[side].verdict, allowed ? 'FORWARDED' : 'DROPPED', `${side} ${one}`);
            }
          }
        }
      }
    }),
    { numRuns: 60 },
  );
});

test('without any one of its rules, something that was seen is denied', () => {
  fc.assert(
    fc.property(someEdges, fc.boolean(), (edges, icmps) => {
      const documents = documentsOf(edges, icmps);
      for (const [d, { spec }] of documents.entries()) {
        for (const side of ['ingress', 'egress']) {
          for (const r of (spec[side] ?? []).keys()) {
            const less = structuredClone(documents);
            less[d].spec[side][r] = {}; // allows nobody, and keeps the default deny
            const world = worldOf(less);
            assert.ok(
              edges.some((one) => judge(world, one).verdict === 'DROPPED'),
              JSON.stringify([edges, documents[d].metadata.name, side, r]),
            );
          }
        }
      }
    }),
    { numRuns: 60 },
  );
});

test('peers of equal ports, or ports of equal peers, are one rule, whichever gives fewer', () => {
  const [webA, db] = [1, 3];
  const byPorts = documentsOf([
    [0, db, 0],
    [webA, db, 0],
    [4, db, 0],
  ]);
  assert.is(byPorts.find(({ metadata }) => metadata.name === 'db-observed').spec.ingress.length, 1);
  const byPeers = documentsOf([
    [0, db, 0],
    [webA, db, 0],
    [webA, db, 1],
    [4, db, 1],
  ]);
  assert.is(byPeers.find(({ metadata }) => metadata.name === 'db-observed').spec.ingress.length, 2);
});

test('a selector leaves out those who have more labels, and names another namespace', () => {
  const [{ spec }] = documentsOf([[0, 3, 0]]).filter(({ metadata }) => metadata.name === 'db-observed');
  assert.equal(spec.ingress[0].fromEndpoints, [
    { matchLabels: { app: 'web' }, matchExpressions: [{ key: 'tier', operator: 'DoesNotExist' }] },
  ]);
  const [other] = documentsOf([[4, 3, 0]]).filter(({ metadata }) => metadata.name === 'db-observed');
  assert.equal(other.spec.ingress[0].fromEndpoints[0].matchLabels, {
    'k8s:io.kubernetes.pod.namespace': 'lab',
    app: 'web',
  });
});

test('many addresses outside are the world, few are themselves', () => {
  const from = (count: number) =>
    suggestPolicies(
      Array.from({ length: count }, (_, i) => ({
        from: { type: 'address', ip: `192.0.2.${i}` },
        to: ends[3]!,
        protocol: 6,
        port: 80,
        flows: 2,
        last: '2026-11-24T00:00:00Z',
      })),
      WORKLOADS,
      ALL,
    )[0]!;
  assert.equal((from(17).document.spec as { ingress: unknown }).ingress, [
    { fromEntities: ['world'], toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }] }] },
  ]);
  assert.equal((from(2).document.spec as { ingress: { fromCIDR: unknown }[] }).ingress[0]!.fromCIDR, [
    '192.0.2.0/32',
    '192.0.2.1/32',
  ]);
  assert.equal(from(17).comments, ['ingress[0]: from world: 34 flows, last 2026-11-24T00:00:00Z']);
});

test('more than 40 ports are more than one rule', () => {
  const seen = Array.from({ length: 90 }, (_, i) => ({ ...toSeen([0, 3, 0]), port: 1000 + i }));
  const [policy] = suggestPolicies(seen, WORKLOADS, { ...ALL, isProtected: (_, side) => side === 'ingress' });
  assert.is((policy!.document.spec as { ingress: unknown[] }).ingress.length, 3);
  assert.ok(parsePolicy(policy!.document).ok);
});

test.run();
