import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { explain } from '../../src/core/explain.ts';
import { RESERVED, toIdentityId, workloadIdentity } from '../../src/core/identity.ts';
import { workloadLabels } from '../../src/core/label.ts';
import { parsePolicy } from '../../src/core/policy.ts';
import type { World } from '../../src/core/world.ts';

const test = suite('explain');
const [web, db, other] = [workloadIdentity(300), workloadIdentity(301), workloadIdentity(302)];

function worldOf(...specs: object[]): World {
  const policies = specs.map((spec, i) => {
    const result = parsePolicy({
      apiVersion: 'cilium.io/v2',
      kind: 'CiliumNetworkPolicy',
      metadata: { namespace: 'shop', name: `p${i}` },
      spec,
    });
    if (!result.ok) throw new Error(JSON.stringify(result.errors));
    return result.value;
  });
  return {
    identities: [
      { id: web, labels: workloadLabels('shop', { app: 'web' }) },
      { id: db, labels: workloadLabels('shop', { app: 'db' }) },
      { id: other, labels: workloadLabels('lab', { app: 'other' }) },
    ],
    cidrs: [],
    policies,
    namespaces: {},
    clusterName: 'default',
  };
}

const to = (app: string) => ({ matchLabels: { app } });
const port = (n: number, protocol = 'TCP') => [{ ports: [{ port: String(n), protocol }] }];
const names = { from: 'shop/web', to: 'shop/db' };
const ask = (world: World, from = web, destination = db, at = 5432) =>
  explain(world, { from, to: destination, protocol: 6, port: at }, names);

test('without a policy each side says that none selects it', () => {
  const { verdict, egress, ingress } = ask(worldOf());
  assert.is(verdict, 'FORWARDED');
  assert.equal(egress.by, { default: 'no policy selects shop/web for egress' });
  assert.equal(ingress.by, { default: 'no policy selects shop/db for ingress' });
});

test('an allow rule is named and told in words', () => {
  const world = worldOf({ endpointSelector: to('db'), ingress: [{ fromEndpoints: [to('web')], toPorts: port(5432) }] });
  assert.equal(ask(world).ingress.by, {
    rule: 'cnp/shop/p0 ingress[0]',
    why: 'allows app=web on 5432/TCP',
  });
});

test('a default deny says what the nearest rule allows instead: first the right peer, then the right port', () => {
  const world = worldOf({
    endpointSelector: to('db'),
    ingress: [
      { fromEndpoints: [to('batch')], toPorts: port(9999) },
      { fromEndpoints: [to('batch')], toPorts: port(6379) },
      { fromEndpoints: [to('web')], toPorts: port(5432) },
    ],
  });
  assert.equal(ask(world, web, db, 6379).ingress, {
    verdict: 'DROPPED',
    reason: 'POLICY_DENIED',
    by: {
      rule: 'default deny of cnp/shop/p0',
      why: 'ingress[2] allows app=web on 5432/TCP only; ingress[1] allows app=batch on 6379/TCP only; ingress[0] allows app=batch on 9999/TCP only',
    },
  });
});

test('a deny rule is named before every allow, and all that qualify are listed', () => {
  const world = worldOf(
    { endpointSelector: to('db'), ingress: [{ fromEntities: ['all'] }] },
    { endpointSelector: to('db'), ingressDeny: [{ fromEndpoints: [to('web')] }, { toPorts: port(5432) }] },
  );
  const { verdict, ingress } = ask(world);
  assert.is(verdict, 'DROPPED');
  assert.equal(ingress, {
    verdict: 'DROPPED',
    reason: 'POLICY_DENY',
    by: {
      rule: 'cnp/shop/p1 ingressDeny[0]',
      rules: ['cnp/shop/p1 ingressDeny[0]', 'cnp/shop/p1 ingressDeny[1]'],
      why: 'denies app=web',
    },
  });
});

test('both directions are told, and one that drops drops the connection', () => {
  const world = worldOf({ endpointSelector: to('web'), egress: [{}] });
  const { verdict, egress, ingress } = ask(world);
  assert.is(verdict, 'DROPPED');
  assert.equal(egress.by, { rule: 'default deny of cnp/shop/p0', why: 'egress[0] allows nobody' });
  assert.is(ingress.verdict, 'FORWARDED');
});

test('what only adds rights says why it does not deny', () => {
  const world = worldOf({
    endpointSelector: to('db'),
    enableDefaultDeny: { ingress: false },
    ingress: [{ toPorts: port(1) }],
  });
  assert.equal(ask(world).ingress.by, {
    default: 'no rule matches, and no policy that selects shop/db denies ingress by default',
  });
});

test('an address outside and the host have no side of their own', () => {
  const world = worldOf({ endpointSelector: to('web'), egress: [{ toEntities: ['world'] }] });
  const outside = explain(
    world,
    { from: web, to: toIdentityId(RESERVED['world-ipv4']), toAddress: '192.0.2.7', protocol: 6, port: 443 },
    { from: 'shop/web', to: '192.0.2.7' },
  );
  assert.equal(outside.ingress.by, { default: '192.0.2.7 is outside: nothing is enforced there' });
  assert.equal(outside.egress.by, { rule: 'cnp/shop/p0 egress[0]', why: 'allows world' });
  const host = explain(
    world,
    { from: toIdentityId(RESERVED.host), to: other, protocol: 6, port: 1 },
    { from: 'web-1', to: 'lab/other' },
  );
  assert.match((host.egress.by as { default: string }).default, /web-1 is host: no endpointSelector/);
});

test.run();
