import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { call, cnp, startTestServer, type TestServer, workload } from './harness.ts';

const test = suite('groups of prefixes, and what no kernel enforces yet');
let server: TestServer;

test.before(async () => {
  server = await startTestServer();
});
test.after(() => server?.close());

const group = (...externalCIDRs: string[]) => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumCIDRGroup',
  metadata: { name: 'partners', labels: { trust: 'low' } },
  spec: { externalCIDRs },
});
const spec = (rule: object) => ({ endpointSelector: {}, egress: [rule] });

test('a CiliumCIDRGroup is stored, and a policy that names it means its prefixes as they are now', async () => {
  await call(server, 'PUT', '/v1/workloads/shop/a', { body: workload('a') });
  const named = { toCIDRSet: [{ cidrGroupRef: 'partners' }] };
  const policy = await call(server, 'PUT', '/v1/policies/cnp/shop/out', { body: { ...cnp('out'), spec: spec(named) } });
  assert.is(policy.status, 201, policy.text);
  const ask = async (ip: string) => {
    const body = { from: { workload: 'shop/a' }, to: { ip }, port: 443, protocol: 'TCP' };
    return (await call(server, 'POST', '/v1/access:check', { body })).body.verdict;
  };
  assert.is(await ask('198.51.100.7'), 'DROPPED', 'a group that does not exist is nobody');
  const put = await call(server, 'PUT', '/v1/policies/ccg/partners', { body: group('198.51.100.0/24') });
  assert.is(put.status, 201, put.text);
  assert.equal(put.body.status.warnings, []);
  assert.is(await ask('198.51.100.7'), 'FORWARDED');
  await call(server, 'PUT', '/v1/policies/ccg/partners', { body: group('192.0.2.1') });
  assert.is(await ask('198.51.100.7'), 'DROPPED');
  assert.is(await ask('192.0.2.1'), 'FORWARDED');
  const listed = await call(server, 'GET', '/v1/policies?kind=ccg');
  assert.is(listed.body.items.length, 1);
  assert.is((await call(server, 'DELETE', '/v1/policies/ccg/partners')).status, 204);
  const { body } = await call(server, 'GET', '/v1/policies/ccg/partners/history');
  assert.equal(
    body.items.map(({ action }: { action: string }) => action),
    ['delete', 'update', 'create'],
  );
  assert.is(await ask('192.0.2.1'), 'DROPPED');
});

test('apply takes a group and the policy that names it at once', async () => {
  const named = { ...cnp('out'), spec: spec({ toCIDRSet: [{ cidrGroupRef: 'partners' }] }) };
  const body = { apiVersion: 'v1', kind: 'List', items: [named, group('203.0.113.0/24')] };
  const answer = await call(server, 'POST', '/v1/apply', { body });
  assert.is(answer.status, 200, answer.text);
  assert.equal(
    answer.body.results.map(({ kind, name }: { kind: string; name: string }) => [kind, name]),
    [
      ['CiliumNetworkPolicy', 'out'],
      ['CiliumCIDRGroup', 'partners'],
    ],
  );
});

test('access:check asks about one ICMP type, an echo request unless said', async () => {
  const rule = { toEntities: ['world'], icmps: [{ fields: [{ type: 13 }, { family: 'IPv6', type: 128 }] }] };
  const put = await call(server, 'PUT', '/v1/policies/cnp/shop/out', { body: { ...cnp('out'), spec: spec(rule) } });
  assert.ok(put.status < 300, put.text);
  const ask = async (to: string, more: object) => {
    const body = { from: { workload: 'shop/a' }, to: { ip: to }, ...more };
    return (await call(server, 'POST', '/v1/access:check', { body })).body;
  };
  assert.is((await ask('192.0.2.1', { protocol: 'ICMP' })).verdict, 'DROPPED');
  const timestamp = await ask('192.0.2.1', { icmp: { type: 13 } });
  assert.is(timestamp.verdict, 'FORWARDED');
  assert.is(timestamp.port, undefined);
  assert.is((await ask('2001:db8::1', { protocol: 'ICMPv6' })).verdict, 'FORWARDED');
  const tcp = await ask('192.0.2.1', { port: 443 });
  assert.match(tcp.egress.by.why, 'allows world on ICMP type 13 or ICMPv6 type 128 only');
});

test('what the compiler understands and the kernel does not enforce is refused at PUT, by name', async () => {
  const rows: [object, string, RegExp][] = [
    [spec({ toNodes: [{}] }), '/spec/egress/0/toNodes', /toNodes is not supported yet/],
  ];
  for (const [body, path, message] of rows) {
    const answer = await call(server, 'PUT', '/v1/policies/cnp/shop/x', { body: { ...cnp('x'), spec: body } });
    assert.is(answer.status, 422, answer.text);
    assert.is(answer.body.errors[0].path, path);
    assert.match(answer.body.errors[0].message, message);
  }
});

test('a group of an older cluster, cilium.io/v2alpha1, is taken as it is; other kinds have one version', async () => {
  const older = { ...group('203.0.113.0/24'), apiVersion: 'cilium.io/v2alpha1', metadata: { name: 'older' } };
  assert.is((await call(server, 'POST', '/v1/apply', { body: older })).body.results[0].result, 'created');
  assert.is((await call(server, 'PUT', '/v1/policies/ccg/older', { body: older })).status, 200);
  const policy = { ...cnp('old'), apiVersion: 'cilium.io/v2alpha1' };
  assert.is((await call(server, 'POST', '/v1/apply', { body: policy })).status, 400);
  await call(server, 'DELETE', '/v1/policies/ccg/older');
});

test.run();
