/** Random worlds, small enough that rules, labels, prefixes and ports collide all the time. */
import fc from 'fast-check';
import { formatAddress, type Prefix, parsePrefix } from '../../src/core/cidr.ts';
import { cidrPrefixes } from '../../src/core/cidr-prefixes.ts';
import { DENIALS } from '../../src/core/denial.ts';
import { type Identity, localIdentity, RESERVED, toIdentityId, workloadIdentity } from '../../src/core/identity.ts';
import { CLUSTER_KEY, canonicalLabels, workloadLabels } from '../../src/core/label.ts';
import { type Policy, parsePolicy, UNDERSTOOD } from '../../src/core/policy.ts';
import type { Connection } from '../../src/core/verdict.ts';
import type { World } from '../../src/core/world.ts';
import { identityOfAddress } from './conformance-case.ts';

const NAMESPACES = ['a', 'b'] as const;
const PREFIXES = [
  '10.0.0.0/8',
  '10.1.0.0/16',
  '10.1.2.0/24',
  '10.1.2.3/32',
  '10.128.0.0/9',
  '192.0.2.0/24',
  '0.0.0.0/0',
  '2001:db8::/32',
  '2001:db8:1::/48',
  '2001:db8:1::1/128',
  '::/0',
];
const ADDRESSES = [
  '10.1.2.3',
  '10.1.2.4',
  '10.1.9.9',
  '10.9.9.9',
  '10.200.0.1',
  '192.0.2.1',
  '198.51.100.1',
  '2001:db8:1::1',
  '2001:db8:1::2',
  '2001:db8:2::1',
  '2001:db9::1',
];
const PORTS = [0, 1, 79, 80, 81, 443, 8080, 8089, 8090, 65535];
const NAMES = ['http', 'admin', 'dns'];
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;
const ENTITIES = [
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
];

const app = fc.constantFrom('web', 'api', 'db');
const tier = fc.constantFrom('1', '2');
const list = <T>(item: fc.Arbitrary<T>, maxLength = 2) => fc.array(item, { maxLength });
const optional = <T>(item: fc.Arbitrary<T>) => fc.option(item, { nil: undefined, freq: 2 });

const namedPort = fc.record({ port: fc.constantFrom(80, 443, 8080), protocol: fc.constantFrom(...PROTOCOLS) });

const identity = fc.record({
  namespace: fc.constantFrom(...NAMESPACES),
  app,
  tier: optional(tier),
  source: fc.constantFrom('user', 'k8s', 'container'),
  cluster: fc.constantFrom('default', 'default', 'default', 'east'),
  mode: fc.constantFrom(undefined, undefined, undefined, undefined, 'audit' as const, 'observe' as const),
  ports: fc.dictionary(fc.constantFrom(...NAMES), fc.oneof(namedPort, list(namedPort)), { maxKeys: 2 }),
});

function toIdentity(from: typeof identity extends fc.Arbitrary<infer T> ? T : never, i: number): Identity {
  const labels = { app: from.app, ...(from.tier ? { tier: from.tier } : {}) };
  const canonical = workloadLabels(from.namespace, labels, from.cluster).map((label) =>
    label.startsWith('user:app=') ? label.replace('user:', `${from.source}:`) : label,
  );
  const mode = from.mode === undefined ? {} : { mode: from.mode };
  return { id: workloadIdentity(256 + i), labels: canonicalLabels(canonical), ports: { ...from.ports }, ...mode };
}

/** The first is this host, the second another. */
function toHost(role: string, i: number): Identity {
  const cluster = `k8s:${CLUSTER_KEY}=default`;
  return i === 0
    ? { id: toIdentityId(RESERVED.host), labels: canonicalLabels(['reserved:host', `k8s:role=${role}`, cluster]) }
    : { id: toIdentityId(0x02000001), labels: canonicalLabels(['reserved:remote-node', `node:role=${role}`, cluster]) };
}

const key = fc.constantFrom(
  'app',
  'tier',
  'k8s:app',
  'user:app',
  'any:tier',
  'reserved:host',
  'reserved:world',
  'k8s:io.kubernetes.pod.namespace',
  'k8s:io.cilium.k8s.namespace.labels.team',
  'io.cilium.k8s.policy.cluster',
);
const value = fc.constantFrom('web', 'api', '1', 'a', 'b', 'red', 'blue', 'default', 'east', '');
const selector = fc.record(
  {
    matchLabels: fc.oneof(
      {
        weight: 3,
        arbitrary: fc.dictionary(fc.constantFrom('app', 'k8s:app', 'tier'), fc.constantFrom('web', 'api', 'db', '1'), {
          maxKeys: 1,
        }),
      },
      { weight: 1, arbitrary: fc.dictionary(key, value, { maxKeys: 2 }) },
    ),
    matchExpressions: list(
      fc.oneof(
        fc.record({
          key,
          operator: fc.constantFrom('In', 'NotIn'),
          values: fc.uniqueArray(value, { minLength: 1, maxLength: 2 }),
        }),
        fc.record({ key, operator: fc.constantFrom('Exists', 'DoesNotExist') }),
      ),
      1,
    ),
  },
  { requiredKeys: [] },
);

const prefix = fc.constantFrom(...PREFIXES);
const groupRule = fc
  .record({
    group: fc.oneof(
      fc.constantFrom('g', 'h').map((cidrGroupRef) => ({ cidrGroupRef })),
      fc.constantFrom('low', 'high').map((trust) => ({ cidrGroupSelector: { matchLabels: { trust } } })),
    ),
    except: list(prefix, 1),
  })
  .map(({ group, except }) => ({ ...group, except }));
const cidrRule = fc
  .tuple(prefix, list(prefix))
  .map(([cidr, except]) => ({ cidr, except: except.filter((inner) => inner !== cidr && within(cidr, inner)) }));
const within = (outer: string, inner: string) => holds(parsePrefix(outer)!, parsePrefix(inner)!);
const holds = (outer: Prefix, inner: Prefix) =>
  outer.family === inner.family &&
  outer.length <= inner.length &&
  parsePrefix(`${formatAddress(inner.bytes, inner.family)}/${outer.length}`)!.bytes.join() === outer.bytes.join();

const range = fc
  .tuple(fc.constantFrom(...PORTS.slice(1)), fc.constantFrom(...PORTS.slice(1)))
  .map(([x, y]) => ({ port: Math.min(x, y), endPort: Math.max(x, y) }));
const portEntry = fc
  .record({
    place: fc.oneof(
      fc.constantFrom(...PORTS).map((port) => ({ port })),
      range,
      fc.constantFrom(...NAMES).map((port) => ({ port })),
    ),
    protocol: optional(fc.constantFrom(...PROTOCOLS)),
  })
  .map(({ place, protocol }) => ({ ...place, ...(protocol ? { protocol } : {}) }));
const ciliumPort = fc.oneof(
  { weight: 6, arbitrary: portEntry },
  { weight: 1, arbitrary: fc.constantFrom('VRRP', 'IGMP').map((protocol) => ({ protocol })) },
);
const icmpField = fc.oneof(
  fc.constantFrom(0, 8, 13, 'EchoRequest').map((type) => ({ type })),
  fc.constantFrom(128, 'EchoReply').map((type) => ({ family: 'IPv6', type })),
);

const nodeSelector = fc.record(
  {
    matchLabels: fc.dictionary(fc.constantFrom('role', 'k8s:role', 'node:role'), fc.constantFrom('db', 'web'), {
      maxKeys: 1,
    }),
  },
  { requiredKeys: [] },
);

const ciliumRule = (side: 'from' | 'to') =>
  fc
    .record({
      peers: fc.oneof(
        fc.constant({}),
        fc.array(selector, { maxLength: 2 }).map((selectors) => ({ [`${side}Endpoints`]: selectors })),
        list(prefix).map((prefixes) => ({ [`${side}CIDR`]: prefixes })),
        list(fc.oneof(cidrRule, groupRule)).map((rules) => ({ [`${side}CIDRSet`]: rules })),
        list(nodeSelector).map((selectors) => ({ [`${side}Nodes`]: selectors })),
        list(fc.constantFrom(...ENTITIES)).map((entities) => ({ [`${side}Entities`]: entities })),
      ),
      traffic: fc.oneof(
        fc.constant({}),
        list(list(ciliumPort, 3).map((ports) => ({ ports }))).map((toPorts) => ({ toPorts })),
        list(list(icmpField).map((fields) => ({ fields }))).map((icmps) => ({ icmps })),
      ),
    })
    .map(({ peers, traffic }) => ({ ...peers, ...traffic }));

const ciliumSpec = fc
  .record({
    endpointSelector: selector,
    ingress: list(ciliumRule('from')),
    ingressDeny: list(ciliumRule('from'), 1),
    egress: list(ciliumRule('to')),
    egressDeny: list(ciliumRule('to'), 1),
    enableDefaultDeny: fc.record({ ingress: fc.boolean(), egress: fc.boolean() }, { requiredKeys: [] }),
  })
  .map((spec) =>
    spec.ingress.length + spec.ingressDeny.length + spec.egress.length + spec.egressDeny.length > 0
      ? spec
      : { ...spec, ingress: [{}] },
  );

const plainSelector = fc.record({
  matchLabels: fc.dictionary(fc.constantFrom('app', 'tier'), fc.constantFrom('web', 'api', '1'), { maxKeys: 1 }),
});
const podPeer = fc.oneof(
  fc.record({ podSelector: plainSelector }),
  fc.record({
    namespaceSelector: fc.record({
      matchLabels: fc.dictionary(fc.constant('team'), fc.constantFrom('red', 'blue'), { maxKeys: 1 }),
    }),
    podSelector: plainSelector,
  }),
  cidrRule.map((ipBlock) => ({ ipBlock })),
);
const networkRule = (side: 'from' | 'to') =>
  fc.record({ [side]: list(podPeer), ports: list(portEntry) }, { requiredKeys: [] });
const networkSpec = fc
  .record({
    podSelector: plainSelector,
    ingress: list(networkRule('from')),
    egress: list(networkRule('to')),
    policyTypes: optional(fc.subarray(['Ingress', 'Egress'])),
  })
  .map(({ policyTypes, ...spec }) => ({ ...spec, ...(policyTypes ? { policyTypes } : {}) }));

const policy: fc.Arbitrary<Policy> = fc
  .tuple(
    fc.record({
      mode: fc.constantFrom(undefined, undefined, undefined, 'audit' as const),
      denial: fc.constantFrom(undefined, undefined, ...DENIALS),
    }),
    fc.constantFrom('cnp', 'cnp', 'ccnp', 'netpol', 'host', 'ccg'),
    fc.constantFrom(...NAMESPACES),
    fc.constantFrom('p', 'q', 'r'),
    ciliumSpec,
    networkSpec,
    fc.record({ nodeSelector, prefixes: list(prefix), trust: fc.constantFrom('low', 'high') }),
  )
  .map(([words, ...rest]): [typeof words, object] => [words, toDocument(...rest)])
  .map(([{ mode, denial }, document]) => {
    const parsed = parsePolicy(JSON.parse(JSON.stringify(document)), UNDERSTOOD);
    if (!parsed.ok) throw new Error(JSON.stringify([document, parsed.errors]));
    // A group of prefixes has no mode, and denies nothing.
    if (parsed.value.kind === 'ccg') return parsed.value;
    return { ...parsed.value, ...(mode !== undefined && { mode }), ...(denial !== undefined && { denial }) };
  });

// biome-ignore lint/suspicious/noExplicitAny: arbitrary parts of a document
function toDocument(kind: string, namespace: string, name: string, cilium: any, network: any, other: any): object {
  const clusterwide = { apiVersion: 'cilium.io/v2', kind: 'CiliumClusterwideNetworkPolicy' };
  if (kind === 'host') {
    const { endpointSelector: _, ...sections } = cilium;
    return {
      ...clusterwide,
      metadata: { name: `host-${name}` },
      spec: { nodeSelector: other.nodeSelector, ...sections },
    };
  }
  if (kind === 'ccg') {
    const metadata = { name: name === 'p' ? 'g' : 'h', labels: { trust: other.trust } };
    return { apiVersion: 'cilium.io/v2', kind: 'CiliumCIDRGroup', metadata, spec: { externalCIDRs: other.prefixes } };
  }
  if (kind === 'netpol')
    return {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { namespace, name },
      spec: network,
    };
  if (kind === 'cnp')
    return { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { namespace, name }, spec: cilium };
  return { ...clusterwide, metadata: { name }, spec: cilium };
}

export const world: fc.Arbitrary<World> = fc
  .record({
    identities: fc.array(identity, { minLength: 1, maxLength: 6 }),
    reserved: fc.subarray(['init', 'health', 'ingress'] as const),
    hosts: fc.array(fc.constantFrom('db', 'web'), { maxLength: 2 }),
    policies: fc.array(policy, { maxLength: 6 }),
    namespaces: fc.dictionary(fc.constantFrom(...NAMESPACES), fc.record({ team: fc.constantFrom('red', 'blue') }), {
      maxKeys: 2,
    }),
    enforcement: fc.constantFrom('default', 'default', 'default', 'default', 'always', 'never'),
  })
  .map(({ identities, reserved, hosts, policies, namespaces, enforcement }) => ({
    identities: [
      ...identities.map(toIdentity),
      ...reserved.map((name) => ({ id: toIdentityId(RESERVED[name]), labels: [`reserved:${name}`] })),
      ...hosts.map(toHost),
    ],
    cidrs: cidrPrefixes(policies).map((text, i) => ({ id: localIdentity(i + 1), prefix: text })),
    policies,
    namespaces: JSON.parse(JSON.stringify(namespaces)),
    clusterName: 'default',
    enforcement: enforcement as 'default',
  }));

/** Every pair of ends that differ in kind or identity, on ports around every boundary. */
export function connectionsOf(from: World): Connection[] {
  const inside = from.identities.map(({ id }) => ({ id, address: '10.1.2.3' as string | undefined }));
  const outside = ADDRESSES.map((address) => ({
    id: identityOfAddress(address, from),
    address: address as string | undefined,
  }));
  const reserved = [0, 1, 2, 3, 4, 6, 7, 8].map((id) => ({ id: toIdentityId(id), address: undefined }));
  const others = [...inside, ...outside, ...reserved, { id: workloadIdentity(9999), address: undefined }];
  const pairs = inside.flatMap((subject) =>
    others.flatMap(
      (other) =>
        [
          [subject, other],
          [other, subject],
        ] as const,
    ),
  );
  const probes = [
    ...[0, 1, 79, 80, 81, 82, 443, 444, 8080, 8081, 8089, 8090, 8091, 65535].map((port) => ({ protocol: 6, port })),
    ...[79, 80, 443, 8080].map((port) => ({ protocol: 17, port })),
    { protocol: 132, port: 80 },
    { protocol: 136, port: 80 },
    ...[0, 8, 13].map((port) => ({ protocol: 1, port })),
    ...[8, 128, 129].map((port) => ({ protocol: 58, port })),
    { protocol: 1 },
    { protocol: 58 },
    { protocol: 2 },
    { protocol: 112 },
    { protocol: 47 },
  ];
  return pairs.flatMap(([a, b]) =>
    probes.map((probe) => ({
      from: a.id,
      to: b.id,
      ...(a.address ? { fromAddress: a.address } : {}),
      ...(b.address ? { toAddress: b.address } : {}),
      ...probe,
    })),
  );
}
