// @timeout 120
/** What would not fit into the hosts' maps is refused before it is a revision; `host.test.ts` has the pairs of identities. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { call, startTestServer, type TestServer, workload } from './harness.ts';

const test = suite('full maps on the server');
let server: TestServer;

test.before(async () => {
  server = await startTestServer();
  await call(server, 'PUT', '/v1/workloads/shop/backend', { body: workload('backend') });
});
test.after(() => server?.close());

const policy = (name: string, ingress: readonly object[]) => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { namespace: 'shop', name },
  spec: { endpointSelector: { matchLabels: { app: 'backend' } }, ingress },
});
/** 22 000 prefixes: three of these are more than the 65 536 that fit. */
const prefixes = (network: number) => [
  { fromCIDR: Array.from({ length: 22_000 }, (_, i) => `${network}.${i >> 8}.${i & 255}.0/24`) },
];
/** 40 ranges of some 15 prefixes each for every one of 130 peers: two of these are more than the 131 072 that fit. */
const ports = (network: number) => {
  const list = Array.from({ length: 40 }, (_, i) => ({
    ...{ port: `${1600 * i + 1}`, endPort: 1600 * i + 1500, protocol: 'TCP' },
  }));
  return Array.from({ length: 130 }, (_, n) => ({ fromCIDR: [`10.${network}.${n}.0/24`], toPorts: [{ ports: list }] }));
};

for (const { map, says, rules, fitting } of [
  { map: 'cidr', says: /\d+ IP prefixes \(cidr\) are needed, 65536 are possible/, rules: prefixes, fitting: 2 },
  {
    map: 'policyL4',
    says: /\d+ port ranges in distinct rules \(policyL4\) are needed, 131072/,
    rules: ports,
    fitting: 1,
  },
])
  test(`${map}: the document that is too much is refused with both numbers, and nothing changes`, async () => {
    const put = (n: number, query = '') =>
      call(server, 'PUT', `/v1/policies/cnp/shop/p${n}${query}`, { body: policy(`p${n}`, rules(n)) });
    for (let n = 1; n <= fitting; n++) {
      const { status, text } = await put(n);
      assert.ok(status < 300, text.slice(0, 300));
    }
    const before = (await call(server, 'GET', '/v1/policies?limit=1')).body.revision;
    for (const query of ['?dryRun=true', '']) {
      const { status, body } = await put(9, query);
      assert.is(status, 422);
      assert.is(body.code, 'does-not-fit');
      assert.match(body.detail, says);
      assert.is(body.errors[0].code, 'capacity');
    }
    assert.is((await call(server, 'GET', '/v1/policies/cnp/shop/p9')).status, 404);
    assert.is((await call(server, 'GET', '/v1/policies?limit=1')).body.revision, before);
    for (let n = 1; n <= fitting; n++) await call(server, 'DELETE', `/v1/policies/cnp/shop/p${n}`);
    assert.is((await put(9)).status, 201, 'there is room again');
    await call(server, 'DELETE', '/v1/policies/cnp/shop/p9');
  });

test.run();
