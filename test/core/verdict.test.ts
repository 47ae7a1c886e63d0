import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { cidrPrefixes, PolicyCompiler, type World } from '../../src/core/compile.ts';
import { lookupVerdict } from '../../src/core/compile-lookup.ts';
import { type Identity, localIdentity, RESERVED, toIdentityId, workloadIdentity } from '../../src/core/identity.ts';
import { workloadLabels } from '../../src/core/label.ts';
import { parsePolicy } from '../../src/core/policy.ts';
import { type Connection, type SideVerdict, verdict } from '../../src/core/verdict.ts';
import { ccnp, cnp, netpol } from './policy-document.ts';

const FRONT = workloadIdentity(256);
const BACK = workloadIdentity(257);
const OTHER = workloadIdentity(258);

const WORKLOADS: readonly Identity[] = [
  { id: FRONT, labels: workloadLabels('shop', { app: 'front' }) },
  { id: BACK, labels: workloadLabels('shop', { app: 'back' }), ports: { http: { port: 8080, protocol: 'TCP' } } },
  { id: OTHER, labels: workloadLabels('lab', { app: 'other' }), ports: { http: { port: 9090, protocol: 'TCP' } } },
];

function worldOf(documents: readonly unknown[], more: Partial<World> = {}): World {
  const policies = documents.map((document) => {
    const parsed = parsePolicy(document);
    assert.ok(parsed.ok, JSON.stringify(parsed));
    return parsed.value;
  });
  const cidrs = cidrPrefixes(policies).map((prefix, i) => ({ id: localIdentity(i + 1), prefix }));
  return { identities: WORKLOADS, cidrs, policies, namespaces: {}, clusterName: 'default', ...more };
}

/** One side of the oracle's answer, which the compiled tables must give too. */
function judge(world: World, side: 'ingress' | 'egress', connection: Partial<Connection>): SideVerdict {
  const whole: Connection = { from: FRONT, to: BACK, protocol: 6, port: 80, ...connection };
  const compiler = new PolicyCompiler();
  compiler.update(world);
  const answer = verdict(world, whole);
  assert.equal(lookupVerdict(compiler.all(), whole), answer);
  return answer[side];
}

const back = (sections: object, name = 'back') =>
  cnp({ endpointSelector: { matchLabels: { app: 'back' } }, ...sections }, { name, namespace: 'shop' });
const fromFront = { fromEndpoints: [{ matchLabels: { app: 'front' } }] };
const on = (...ports: unknown[]) => ({ toPorts: [{ ports: ports.map((port) => ({ port })) }] });

test('without a policy nothing is enforced and nobody is named', () => {
  assert.equal(judge(worldOf([]), 'ingress', {}), { verdict: 'FORWARDED', reason: 'NOT_ENFORCED', rules: [] });
});

test('an allow names every rule that allows, in policy order', () => {
  const world = worldOf([
    back({ ingress: [fromFront, {}, on(80)] }, 'z'),
    back({ ingress: [on(80, 443)] }, 'a'),
    netpol({ podSelector: {}, ingress: [{}] }, { name: 'n', namespace: 'shop' }),
  ]);
  const rules = ['cnp/shop/a ingress[0]', 'cnp/shop/z ingress[0]', 'cnp/shop/z ingress[2]', 'netpol/shop/n ingress[0]'];
  assert.equal(judge(world, 'ingress', {}), { verdict: 'FORWARDED', reason: 'ALLOWED', rules });
});

test('a deny names only the rules that deny', () => {
  const world = worldOf([back({ ingress: [fromFront], ingressDeny: [on(443), on(80)] })]);
  assert.equal(judge(world, 'ingress', {}), {
    verdict: 'DROPPED',
    reason: 'POLICY_DENY',
    rules: ['cnp/shop/back ingressDeny[1]'],
  });
});

test('a default deny names the first policy that asked for it', () => {
  const world = worldOf([
    back({ ingress: [{}] }, 'b'),
    back({ ingress: [{}], enableDefaultDeny: { ingress: false } }, 'a'),
    back({ ingress: [on(1)] }, 'c'),
  ]);
  assert.equal(judge(world, 'ingress', {}), {
    verdict: 'DROPPED',
    reason: 'POLICY_DENIED',
    rules: ['default deny of cnp/shop/b'],
  });
});

test('at most eight rules are named, and they are the first', () => {
  const world = worldOf([back({ ingress: Array.from({ length: 12 }, () => on(80)) })]);
  const expected = Array.from({ length: 8 }, (_, i) => `cnp/shop/back ingress[${i}]`);
  assert.equal(judge(world, 'ingress', {}).rules, expected);
});

test('rules are ordered by number, not by text', () => {
  const world = worldOf([back({ ingress: Array.from({ length: 12 }, (_, i) => on(i === 2 || i === 10 ? 80 : 1)) })]);
  assert.equal(judge(world, 'ingress', {}).rules, ['cnp/shop/back ingress[2]', 'cnp/shop/back ingress[10]']);
});

test('without default deny, what no rule matches is not enforced, and a deny rule still denies', () => {
  const world = worldOf([back({ ingress: [fromFront], ingressDeny: [on(22)], enableDefaultDeny: { ingress: false } })]);
  assert.is(judge(world, 'ingress', { from: OTHER }).reason, 'NOT_ENFORCED');
  assert.is(judge(world, 'ingress', {}).reason, 'ALLOWED');
  assert.is(judge(world, 'ingress', { port: 22 }).reason, 'POLICY_DENY');
});

test('ICMP passes by rules without ports only', () => {
  const icmp = { protocol: 1, port: undefined };
  assert.is(judge(worldOf([back({ ingress: [fromFront] })]), 'ingress', icmp).verdict, 'FORWARDED');
  assert.is(judge(worldOf([back({ ingress: [{ ...fromFront, ...on(0) }] })]), 'ingress', icmp).verdict, 'DROPPED');
});

/** Each entity and the reserved identities that it stands for. */
const ENTITIES: Readonly<Record<string, readonly (keyof typeof RESERVED)[]>> = {
  world: ['world', 'world-ipv4', 'world-ipv6'],
  'world-ipv4': ['world-ipv4'],
  'world-ipv6': ['world-ipv6'],
  cluster: ['host', 'unmanaged', 'health', 'init', 'remote-node', 'kube-apiserver', 'ingress'],
  host: ['host'],
  'remote-node': ['remote-node', 'kube-apiserver'],
  'kube-apiserver': ['kube-apiserver'],
  ingress: ['ingress'],
  init: ['init'],
  unmanaged: ['unmanaged'],
  health: ['health'],
  none: [],
  all: Object.keys(RESERVED) as (keyof typeof RESERVED)[],
};

for (const [entity, members] of Object.entries(ENTITIES)) {
  test(`entity ${entity} is ${members.join(', ') || 'nobody'}`, () => {
    const world = worldOf([back({ ingress: [{ fromEntities: [entity] }] })]);
    for (const [name, id] of Object.entries(RESERVED)) {
      const expected = (members as string[]).includes(name) ? 'FORWARDED' : 'DROPPED';
      assert.is(judge(world, 'ingress', { from: toIdentityId(id) }).verdict, expected, name);
    }
  });
}

test('entity cluster holds the workloads of this cluster, and entity world none', () => {
  const far = { id: workloadIdentity(300), labels: workloadLabels('shop', { app: 'front' }, 'east') };
  const cluster = worldOf([back({ ingress: [{ fromEntities: ['cluster'] }] })], { identities: [...WORKLOADS, far] });
  assert.is(judge(cluster, 'ingress', { from: OTHER }).verdict, 'FORWARDED');
  assert.is(judge(cluster, 'ingress', { from: far.id }).verdict, 'DROPPED');
  assert.is(
    judge(worldOf([back({ ingress: [{ fromEntities: ['world'] }] })]), 'ingress', { from: OTHER }).verdict,
    'DROPPED',
  );
});

test("a namespace's labels are its workloads', as they are now", () => {
  const labels = ['k8s:io.cilium.k8s.namespace.labels.team=red'];
  const stale = { id: workloadIdentity(301), labels: [...workloadLabels('lab', { app: 'x' }), ...labels].sort() };
  const policy = back({
    ingress: [{ fromEndpoints: [{ matchLabels: { 'k8s:io.cilium.k8s.namespace.labels.team': 'red' } }] }],
  });
  const identities = [...WORKLOADS, stale];
  const from = stale.id;
  assert.is(judge(worldOf([policy], { identities }), 'ingress', { from }).verdict, 'FORWARDED');
  assert.is(
    judge(worldOf([policy], { identities, namespaces: { lab: { team: 'blue' } } }), 'ingress', { from }).verdict,
    'DROPPED',
  );
  assert.is(
    judge(worldOf([policy], { namespaces: { lab: { team: 'red' } } }), 'ingress', { from: OTHER }).verdict,
    'FORWARDED',
  );
  const byName = netpol({
    podSelector: {},
    ingress: [{ from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'lab' } } }] }],
  });
  assert.is(judge(worldOf([byName]), 'ingress', { from: OTHER }).verdict, 'FORWARDED');
});

test('reserved:init denies by default in both directions', () => {
  const init = toIdentityId(RESERVED.init);
  const identities = [...WORKLOADS, { id: init, labels: ['reserved:init'] }];
  assert.equal(judge(worldOf([], { identities }), 'egress', { from: init }), {
    verdict: 'DROPPED',
    reason: 'POLICY_DENIED',
    rules: ['default deny of reserved:init'],
  });
  const policy = ccnp({ endpointSelector: { matchLabels: { 'reserved:init': '' } }, egress: [{ toEndpoints: [{}] }] });
  assert.is(judge(worldOf([policy], { identities }), 'egress', { from: init }).verdict, 'FORWARDED');
});

test('enforcement never forwards everything, always denies what no rule allows', () => {
  assert.is(judge(worldOf([back({ ingress: [{}] })], { enforcement: 'never' }), 'ingress', {}).reason, 'NOT_ENFORCED');
  assert.equal(judge(worldOf([], { enforcement: 'always' }), 'egress', {}).rules, [
    'default deny of enablePolicy=always',
  ]);
  assert.is(
    judge(worldOf([back({ ingress: [fromFront] })], { enforcement: 'always' }), 'ingress', {}).verdict,
    'FORWARDED',
  );
});

test('the host and addresses outside have no side of their own', () => {
  const everyone = ccnp({ endpointSelector: {}, ingress: [{}], egress: [{}] });
  for (const id of [RESERVED.host, RESERVED['remote-node'], RESERVED['world-ipv4'], localIdentity(1)]) {
    assert.is(judge(worldOf([everyone]), 'egress', { from: toIdentityId(id) }).reason, 'NOT_ENFORCED');
    assert.is(judge(worldOf([everyone]), 'ingress', { to: toIdentityId(id) }).reason, 'NOT_ENFORCED');
  }
});

test("a named port is the receiver's own: of each peer on egress, of the subject on ingress", () => {
  const egress = worldOf([cnp({ endpointSelector: { matchLabels: { app: 'front' } }, egress: [on('http')] })]);
  assert.is(judge(egress, 'egress', { to: BACK, port: 8080 }).verdict, 'FORWARDED');
  assert.is(judge(egress, 'egress', { to: BACK, port: 9090 }).verdict, 'DROPPED');
  assert.is(judge(egress, 'egress', { to: OTHER, port: 9090 }).verdict, 'FORWARDED');
  assert.is(judge(egress, 'egress', { to: toIdentityId(RESERVED['world-ipv4']), port: 8080 }).verdict, 'DROPPED');
  const ingress = worldOf([back({ ingress: [on('http')] })]);
  assert.is(judge(ingress, 'ingress', { port: 8080 }).verdict, 'FORWARDED');
  assert.is(judge(ingress, 'ingress', { port: 8080, protocol: 17 }).verdict, 'DROPPED');
});

test('a world that changes under the compiler: ports, namespace labels, listing, cluster name', () => {
  const compiler = new PolicyCompiler();
  const init = toIdentityId(RESERVED.init);
  const documents = [
    cnp({ endpointSelector: { matchLabels: { app: 'front' } }, egress: [on('http')] }),
    ccnp({ endpointSelector: { matchLabels: { 'reserved:init': '' } }, egress: [{ toEndpoints: [{}] }] }),
    back({ ingress: [{ fromEndpoints: [{ matchLabels: { 'k8s:io.cilium.k8s.namespace.labels.team': 'red' } }] }] }),
  ];
  const moved = WORKLOADS.map((identity) =>
    identity.id === BACK ? { ...identity, ports: { http: { port: 81, protocol: 'TCP' as const } } } : identity,
  );
  const portless = WORKLOADS.map(({ id, labels }) => ({ id, labels }));
  for (const step of [
    worldOf(documents),
    worldOf(documents, { identities: moved }),
    worldOf(documents, { identities: portless }),
    worldOf(documents, { namespaces: { lab: { team: 'red' } } }),
    worldOf(documents, { identities: [...WORKLOADS, { id: init, labels: ['reserved:init'] }] }),
    worldOf(documents, { clusterName: 'east' }),
    worldOf(documents, { enforcement: 'always' }),
    worldOf(documents),
  ]) {
    compiler.update(step);
    const fresh = new PolicyCompiler();
    fresh.update(step);
    assert.equal([...compiler.all()], [...fresh.all()]);
  }
});

test.run();
