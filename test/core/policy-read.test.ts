import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Peer, type Policy, parsePolicy, policyRef } from '../../src/core/policy.ts';
import { formatSelector } from '../../src/core/selector.ts';
import { ccnp, cnp, egress, ingress, netpol, port } from './policy-document.ts';

function read(document: unknown): Policy {
  const parsed = parsePolicy(document);
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.value;
}

function warnings(document: unknown): readonly string[] {
  const parsed = parsePolicy(document);
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.warnings ?? [];
}

/** Peers as text: absent, or one for each. `@local` = this cluster only. */
function peers(document: unknown): string {
  const list = read(document).rules[0]!.peers;
  return list ? list.map(peerText).join(' | ') : 'everyone';
}

function peerText(peer: Peer): string {
  if (peer.type === 'cidr') return [peer.prefix, ...peer.except.map((except) => `-${except}`)].join(' ');
  if (peer.type === 'entity') return peer.entity;
  if (peer.type === 'cidr-group') {
    const groups = typeof peer.groups === 'string' ? peer.groups : `(${formatSelector(peer.groups)})`;
    return ['group', groups, ...peer.except.map((except) => `-${except}`)].join(' ');
  }
  return formatSelector(peer.selector) + (peer.localCluster ? ' @local' : '');
}

const NS = 'k8s:io.kubernetes.pod.namespace';
const CLUSTER = 'io.cilium.k8s.policy.cluster';

/** A rule's peers, and what they mean. */
const PEERS: readonly (readonly [unknown, string])[] = [
  [ingress({}), ''],
  [ingress({ toPorts: [] }), ''],
  [ingress({ toPorts: [{ ports: [{ port: 80 }] }] }), 'everyone'],
  [ingress({ fromEndpoints: [] }), ''],
  [ingress({ fromEndpoints: [], toPorts: [{ ports: [{ port: 80 }] }] }), ''],
  [ingress({ fromEndpoints: [], fromEntities: ['world'] }), ''],
  [ingress({ fromEndpoints: null, toPorts: [{ ports: [{ port: 80 }] }] }), 'everyone'],
  [ingress({ fromEndpoints: [{}] }), `${NS}=shop @local`],
  [ingress({ fromEndpoints: [{ matchLabels: {} }] }), `${NS}=shop @local`],
  [
    ingress({ fromEndpoints: [{ matchLabels: { a: 'b' } }, { matchLabels: { c: 'd' } }] }),
    `any:a=b,${NS}=shop @local | any:c=d,${NS}=shop @local`,
  ],
  [ingress({ fromEndpoints: [{ matchLabels: { [NS]: 'x' } }] }), `${NS}=x @local`],
  [
    ingress({ fromEndpoints: [{ matchLabels: { 'io.kubernetes.pod.namespace': 'x' } }] }),
    'any:io.kubernetes.pod.namespace=x @local',
  ],
  [ingress({ fromEndpoints: [{ matchExpressions: [{ key: NS, operator: 'Exists' }] }] }), `${NS} @local`],
  [
    ingress({ fromEndpoints: [{ matchLabels: { 'k8s:io.cilium.k8s.namespace.labels.team': 'red' } }] }),
    'k8s:io.cilium.k8s.namespace.labels.team=red @local',
  ],
  [
    ingress({ fromEndpoints: [{ matchLabels: { 'user:io.kubernetes.pod.namespace': 'x' } }] }),
    `${NS}=shop,user:io.kubernetes.pod.namespace=x @local`,
  ],
  [ingress({ fromEndpoints: [{ matchLabels: { 'reserved:host': '' } }] }), 'reserved:host='],
  [ingress({ fromEndpoints: [{ matchLabels: { [CLUSTER]: 'east' } }] }), `any:${CLUSTER}=east,${NS}=shop`],
  [ccnp({ endpointSelector: {}, ingress: [{ fromEndpoints: [{}] }] }), `${NS} @local`],
  [ccnp({ endpointSelector: { matchLabels: { 'reserved:init': '' } }, ingress: [{ fromEndpoints: [{}] }] }), ' @local'],
  [egress({ toCIDR: ['10.1.2.3/8', '192.0.2.1', '2001:DB8::/32'] }), '10.0.0.0/8 | 192.0.2.1/32 | 2001:db8::/32'],
  [
    egress({ toCIDRSet: [{ cidr: '10.0.0.0/8', except: ['10.96.0.0/12', '10.0.0.1/32', '10.96.0.0/12'] }] }),
    '10.0.0.0/8 -10.0.0.1/32 -10.96.0.0/12',
  ],
  [egress({ toEntities: ['world', 'host'] }), 'world | host'],
  [netpol({ podSelector: {}, ingress: [{}] }), 'everyone'],
  [netpol({ podSelector: {}, ingress: [{ from: [] }] }), 'everyone'],
  [netpol({ podSelector: {}, ingress: [] }), ''],
  [
    netpol({ podSelector: {}, ingress: [{ from: [{ podSelector: { matchLabels: { a: 'b' } } }] }] }),
    `k8s:a=b,${NS}=shop @local`,
  ],
  [netpol({ podSelector: {}, ingress: [{ from: [{ namespaceSelector: {} }] }] }), `${NS} @local`],
  [
    netpol({
      podSelector: {},
      ingress: [
        { from: [{ namespaceSelector: { matchLabels: { team: 'red' } }, podSelector: { matchLabels: { a: 'b' } } }] },
      ],
    }),
    'k8s:a=b,k8s:io.cilium.k8s.namespace.labels.team=red @local',
  ],
  [
    netpol({ podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.96.0.0/12'] } }] }] }),
    '10.0.0.0/8 -10.96.0.0/12',
  ],
];

for (const [document, expected] of PEERS) {
  test(`peers of ${JSON.stringify((document as { spec: unknown }).spec)} are ${expected || 'nobody'}`, () => {
    assert.is(peers(document), expected);
  });
}

/** Ports of an entry; a protocol that is not named is ANY in Cilium and TCP in Kubernetes. */
const PORTS: readonly (readonly [unknown, unknown])[] = [
  [port({ port: 80 }), { protocols: [6, 17, 132], from: 80, to: 80 }],
  [port({ port: '80', protocol: 'tcp' }), { protocols: [6], from: 80, to: 80 }],
  [port({ port: 0, protocol: 'UDP' }), { protocols: [17], from: 0, to: 65535 }],
  [port({ port: '1', endPort: 1023, protocol: 'SCTP' }), { protocols: [132], from: 1, to: 1023 }],
  [port({ port: 80, endPort: 0 }), { protocols: [6, 17, 132], from: 80, to: 80 }],
  [port({ port: 'HTTP-8080', protocol: 'TCP' }), { protocols: [6], name: 'http-8080' }],
  [netpol({ podSelector: {}, ingress: [{ ports: [{ port: 80 }] }] }), { protocols: [6], from: 80, to: 80 }],
  [netpol({ podSelector: {}, ingress: [{ ports: [{ protocol: 'UDP' }] }] }), { protocols: [17], from: 0, to: 65535 }],
  [
    netpol({ podSelector: {}, ingress: [{ ports: [{ port: 80, endPort: 90 }] }] }),
    { protocols: [6], from: 80, to: 90 },
  ],
];

for (const [document, expected] of PORTS) {
  test(`ports of ${JSON.stringify((document as { spec: unknown }).spec)}`, () => {
    assert.equal(read(document).rules[0]!.ports, [expected]);
  });
}

test('rules are named by policy, spec, section and index, in that order', () => {
  const rule = { fromEndpoints: [{}] };
  const spec = { endpointSelector: {}, egress: [{}], ingressDeny: [rule], ingress: [rule, rule] };
  const policy = read({ ...cnp(spec, { name: 'backend', namespace: 'shop' }), specs: [spec] });
  assert.is(policyRef(policy), 'cnp/shop/backend');
  assert.equal(
    policy.rules.map(({ name }) => name),
    [
      'cnp/shop/backend ingress[0]',
      'cnp/shop/backend ingress[1]',
      'cnp/shop/backend ingressDeny[0]',
      'cnp/shop/backend egress[0]',
      'cnp/shop/backend specs[0].ingress[0]',
      'cnp/shop/backend specs[0].ingress[1]',
      'cnp/shop/backend specs[0].ingressDeny[0]',
      'cnp/shop/backend specs[0].egress[0]',
    ],
  );
  assert.is(read(ccnp(spec, 'all')).rules[0]!.name, 'ccnp/all ingress[0]');
  assert.is(read(netpol({ podSelector: {} })).rules[0]!.name, 'netpol/shop/p ingress[0]');
});

test('a namespaced policy without a namespace is in default', () => {
  assert.is(policyRef(read(cnp({ endpointSelector: {}, ingress: [{}] }, { name: 'p' }))), 'cnp/default/p');
  assert.is(policyRef(read(netpol({ podSelector: {} }, { name: 'p' }))), 'netpol/default/p');
});

test('the subject of a namespaced policy is within its namespace, whatever the selector says', () => {
  const document = cnp({ endpointSelector: { matchLabels: { a: 'b', [NS]: 'other' } }, ingress: [{}] });
  assert.is(formatSelector(read(document).rules[0]!.subject), `any:a=b,${NS}=shop`);
  assert.match(warnings(document)[0]!, 'protects its own namespace only');
  assert.is(
    formatSelector(read(ccnp({ endpointSelector: { matchLabels: { a: 'b' } }, ingress: [{}] })).rules[0]!.subject),
    'any:a=b',
  );
  assert.is(
    formatSelector(read(netpol({ podSelector: { matchLabels: { a: 'b' } } })).rules[0]!.subject),
    `k8s:a=b,${NS}=shop`,
  );
});

test('enableDefaultDeny is by direction, and true where it is not given', () => {
  const spec = { endpointSelector: {}, ingress: [{}], egress: [{}], enableDefaultDeny: { ingress: false } };
  assert.equal(
    read(cnp(spec)).rules.map(({ direction, defaultDeny }) => [direction, defaultDeny]),
    [
      ['ingress', false],
      ['egress', true],
    ],
  );
});

/** policyTypes, sections → directions that are isolated */
const TYPES: readonly (readonly [unknown, readonly string[]])[] = [
  [{}, ['ingress']],
  [{ ingress: [{}] }, ['ingress']],
  [{ egress: [{}] }, ['ingress', 'egress']],
  [{ policyTypes: [] }, ['ingress']],
  [{ policyTypes: ['Ingress'] }, ['ingress']],
  [{ policyTypes: ['Egress'] }, ['egress']],
  [{ policyTypes: ['Ingress', 'Egress'] }, ['ingress', 'egress']],
  [{ policyTypes: ['Egress'], ingress: [{}] }, ['ingress', 'egress']],
];

for (const [spec, expected] of TYPES) {
  test(`a NetworkPolicy with ${JSON.stringify(spec)} isolates ${expected.join(' and ')}`, () => {
    const { rules } = read(netpol({ podSelector: {}, ...(spec as object) }));
    assert.equal([...new Set(rules.map(({ direction }) => direction))], expected);
    assert.ok(rules.every(({ defaultDeny }) => defaultDeny));
  });
}

test('what Kubernetes adds to an object is accepted', () => {
  const metadata = {
    name: 'p',
    namespace: 'shop',
    uid: 'u',
    resourceVersion: '1',
    generation: 2,
    creationTimestamp: '2026-01-01T00:00:00Z',
    managedFields: [],
    ownerReferences: [],
    selfLink: '/x',
    labels: { a: 'b' },
    annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}', 'postern.dev/mode': 'enforce' },
  };
  assert.equal(
    warnings({
      ...cnp(
        { endpointSelector: {}, ingress: [{}], labels: [{ key: 'a', value: 'b', source: 'k8s' }], description: 'x' },
        metadata,
      ),
      status: { conditions: [] },
    }),
    [],
  );
});

test('what is legal and surprising is warned of', () => {
  assert.match(warnings(ingress({ fromCIDR: ['10.1.2.3/8'] }))[0]!, '10.1.2.3/8 is read as 10.0.0.0/8');
  assert.match(
    warnings(ingress({ fromEndpoints: null, toPorts: [{ ports: [{ port: 80 }] }] }))[0]!,
    'null is read as absent',
  );
  assert.match(warnings(ingress({ toPorts: [{ ports: [] }] }))[0]!, 'without ports, it selects no traffic');
  assert.match(warnings(netpol({}))[0]!, 'it selects every pod of the namespace');
  assert.match(
    warnings(netpol({ podSelector: {}, policyTypes: ['Egress'], ingress: [{}] }))[0]!,
    'enforced although policyTypes does not name it',
  );
  assert.equal(warnings(ingress({ fromCIDR: ['10.0.0.0/8', '2001:db8:0::/48'] })), []);
});

test.run();
