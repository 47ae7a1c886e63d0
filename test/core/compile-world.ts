/** Random worlds, small enough that rules, labels, prefixes and ports collide all the time. */
import fc from 'fast-check';
import { formatAddress, type Prefix, parsePrefix } from '../../src/core/cidr.ts';
import { cidrPrefixes } from '../../src/core/cidr-prefixes.ts';
import { type Identity, localIdentity, RESERVED, toIdentityId, workloadIdentity } from '../../src/core/identity.ts';
import { canonicalLabels, workloadLabels } from '../../src/core/label.ts';
import { type Policy, parsePolicy } from '../../src/core/policy.ts';
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

const identity = fc.record({
  namespace: fc.constantFrom(...NAMESPACES),
  app,
  tier: optional(tier),
  source: fc.constantFrom('user', 'k8s', 'container'),
  cluster: fc.constantFrom('default', 'default', 'default', 'east'),
  ports: fc.dictionary(
    fc.constantFrom(...NAMES),
    fc.record({ port: fc.constantFrom(80, 443, 8080), protocol: fc.constantFrom(...PROTOCOLS) }),
    { maxKeys: 2 },
  ),
});

function toIdentity(from: typeof identity extends fc.Arbitrary<infer T> ? T : never, i: number): Identity {
  const labels = { app: from.app, ...(from.tier ? { tier: from.tier } : {}) };
  const canonical = workloadLabels(from.namespace, labels, from.cluster).map((label) =>
    label.startsWith('user:app=') ? label.replace('user:', `${from.source}:`) : label,
  );
  return { id: workloadIdentity(256 + i), labels: canonicalLabels(canonical), ports: { ...from.ports } };
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

const ciliumRule = (side: 'from' | 'to') =>
  fc
    .record({
      peers: fc.oneof(
        fc.constant({}),
        fc.array(selector, { maxLength: 2 }).map((selectors) => ({ [`${side}Endpoints`]: selectors })),
        list(prefix).map((prefixes) => ({ [`${side}CIDR`]: prefixes })),
        list(cidrRule).map((rules) => ({ [`${side}CIDRSet`]: rules })),
        list(fc.constantFrom(...ENTITIES)).map((entities) => ({ [`${side}Entities`]: entities })),
      ),
      toPorts: optional(list(list(portEntry, 3).map((ports) => ({ ports })))),
    })
    .map(({ peers, toPorts }) => ({ ...peers, ...(toPorts ? { toPorts } : {}) }));

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
    fc.constantFrom('cnp', 'cnp', 'ccnp', 'netpol'),
    fc.constantFrom(...NAMESPACES),
    fc.constantFrom('p', 'q', 'r'),
    ciliumSpec,
    networkSpec,
  )
  .map(([kind, namespace, name, cilium, network]) => {
    if (kind === 'netpol')
      return {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'NetworkPolicy',
        metadata: { namespace, name },
        spec: network,
      };
    if (kind === 'cnp')
      return { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { namespace, name }, spec: cilium };
    return { apiVersion: 'cilium.io/v2', kind: 'CiliumClusterwideNetworkPolicy', metadata: { name }, spec: cilium };
  })
  .map((document) => {
    const parsed = parsePolicy(JSON.parse(JSON.stringify(document)));
    if (!parsed.ok) throw new Error(JSON.stringify([document, parsed.errors]));
    return parsed.value;
  });

export const world: fc.Arbitrary<World> = fc
  .record({
    identities: fc.array(identity, { minLength: 1, maxLength: 6 }),
    init: fc.boolean(),
    policies: fc.array(policy, { maxLength: 6 }),
    namespaces: fc.dictionary(fc.constantFrom(...NAMESPACES), fc.record({ team: fc.constantFrom('red', 'blue') }), {
      maxKeys: 2,
    }),
    enforcement: fc.constantFrom('default', 'default', 'default', 'default', 'always', 'never'),
  })
  .map(({ identities, init, policies, namespaces, enforcement }) => ({
    identities: [
      ...identities.map(toIdentity),
      ...(init ? [{ id: toIdentityId(RESERVED.init), labels: ['reserved:init'] }] : []),
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
    { protocol: 1 },
    { protocol: 58 },
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
