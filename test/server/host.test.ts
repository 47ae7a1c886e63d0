// @timeout 300
import { rmSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Endpoint } from '../../src/api/endpoint.ts';
import { call, cnp, openLines, startTestServer, type TestServer, temporaryDir, workload } from './harness.ts';

const test = suite('hosts');
let server: TestServer;

test.before(async () => {
  server = await startTestServer();
});
test.after(() => server?.close());

const endpoint = (name: string, identity: number, more: Partial<Endpoint> = {}): Endpoint => ({
  id: `web-1/${name}`,
  workload: `shop/${name}`,
  host: 'web-1',
  identity,
  why: { clause: 0, origin: 'cgroup', grade: 'firstPacket', beats: [] },
  state: 'ok',
  processes: [{ pid: 7, exe: `/usr/bin/${name}` }],
  ...more,
});

const report = (appliedRevision: number, endpoints: readonly Endpoint[] = []) => ({
  state: 'ready',
  appliedRevision,
  degraded: [],
  agentVersion: '0.1.0',
  kernel: '6.1.0',
  features: { revoke: true },
  addresses: ['10.0.0.5'],
  maps: [{ name: 'policy', entries: 1, maxEntries: 10 }],
  counters: { lost: 0 },
  endpoints,
  discover: [
    {
      host: 'web-1',
      process: { pid: 9, exe: '/usr/bin/redis-server' },
      listening: [{ port: 6379, protocol: 'TCP', address: '127.0.0.1' }],
      suggested: {
        namespace: 'default',
        name: 'redis',
        labels: { app: 'redis' },
        match: { systemdUnit: 'redis.service' },
      },
      confidence: 1,
    },
  ],
});

async function send(body: object): Promise<void> {
  const { status, text } = await call(server, 'PUT', '/v1/agent/hosts/web-1/report', { body });
  assert.is(status, 204, text);
}

test('a clause that cannot match on a host yet says so, and why, while nothing of the workload runs', async () => {
  const put = await call(server, 'PUT', '/v1/workloads/shop/a', { body: workload('a') });
  const waiting = [{ workload: 'shop/a', clause: 0, reason: 'user "deploy" does not exist on this host' }];
  await send({ ...report(0), waiting });
  const seen = async () => (await call(server, 'GET', '/v1/workloads/shop/a')).body.status;
  assert.equal((await seen()).waiting, [{ host: 'web-1', clause: 0, reason: waiting[0]!.reason }]);
  assert.is((await seen()).hint, 'match[0] waits on web-1: user "deploy" does not exist on this host');
  await send({ ...report(0, [endpoint('a', put.body.status.identity)]), waiting });
  assert.not.match((await seen()).hint ?? '', /waits/);
  assert.is((await call(server, 'DELETE', '/v1/workloads/shop/a')).status, 204);
});

test('a workload says which hosts have another number of it than expected', async () => {
  const body = { ...workload('a'), expect: { perHost: 1 } };
  const put = await call(server, 'PUT', '/v1/workloads/shop/a', { body });
  const { identity } = put.body.status;
  await send(report(0, [endpoint('a', identity), endpoint('a', identity, { id: 'web-1/a2' })]));
  const { status } = (await call(server, 'GET', '/v1/workloads/shop/a')).body;
  assert.equal(status.unexpected, [{ host: 'web-1', endpoints: 2 }]);
  assert.is(status.hint, 'web-1 has 2, expected 1');
  await send(report(0, [endpoint('a', identity)]));
  assert.equal((await call(server, 'GET', '/v1/workloads/shop/a')).body.status.unexpected, []);
  const elsewhere = { ...body, hosts: { matchLabels: { site: 'nyc' } } };
  await send(report(0));
  const { unexpected } = (await call(server, 'PUT', '/v1/workloads/shop/a', { body: elsewhere })).body.status;
  assert.equal(unexpected, [], 'not for this host');
  assert.is((await call(server, 'DELETE', '/v1/workloads/shop/a')).status, 204);
});

test('what an agent reports is what hosts, endpoints and discover show, also after a restart', async () => {
  const dir = temporaryDir();
  await server.close();
  server = await startTestServer({ dir });
  await send(report(0, [endpoint('a', 65792), endpoint('b', 65793)]));
  for (const round of ['before', 'after']) {
    const hosts = (await call(server, 'GET', '/v1/hosts')).body.items;
    assert.equal(
      hosts.map((host: { name: string }) => host.name),
      ['web-1'],
      round,
    );
    assert.is(hosts[0].status.state, 'ready');
    assert.is(hosts[0].status.endpoints, 2);
    assert.is((await call(server, 'GET', '/v1/hosts/web-1')).body.status.kernel, '6.1.0');
    const list = (await call(server, 'GET', '/v1/endpoints?workload=shop/b')).body.items;
    assert.equal(list, [endpoint('b', 65793)]);
    const found = (await call(server, 'GET', '/v1/discover?host=web-1')).body.items;
    assert.is(found[0].suggested.name, 'redis');
    if (round === 'after') break;
    await server.close();
    server = await startTestServer({ dir });
  }
  assert.is((await call(server, 'GET', '/v1/hosts/none')).status, 404);
  await server.close();
  rmSync(dir, { recursive: true });
  server = await startTestServer();
});

test('a workload counts its endpoints, its policy knows where it is in force', async () => {
  const { body } = await call(server, 'PUT', '/v1/workloads/shop/a', { body: workload('a') });
  const { identity } = body.status;
  await send(report(0, [endpoint('a', identity), endpoint('a', identity, { id: 'web-1/a2', state: 'drifted' })]));
  const { status } = (await call(server, 'GET', '/v1/workloads/shop/a')).body;
  assert.equal([status.endpoints, status.hosts, status.drifted], [2, 1, 1]);
  assert.match(status.hint, /1 of 2/);
  const { endpoints } = (await call(server, 'GET', `/v1/identities/${identity}`)).body;
  assert.equal(endpoints, ['web-1/a', 'web-1/a2']);

  const put = await call(server, 'PUT', '/v1/policies/cnp/shop/p', { body: cnp('p', 'a') });
  const { revision } = put.body.meta;
  assert.equal(put.body.status.selects, { endpoints: 2, hosts: 1 });
  assert.equal(put.body.status.enforced, { revision, hosts: 0, of: 1 });
  await send(report(revision, [endpoint('a', identity)]));
  const policy = (await call(server, 'GET', '/v1/policies/cnp/shop/p')).body;
  assert.equal(policy.status.enforced, { revision, hosts: 1, of: 1 });
  const nobody = await call(server, 'PUT', '/v1/policies/cnp/shop/q', { body: cnp('q', 'nobody') });
  assert.match(nobody.body.status.warnings.join(), /selects no registered workload/);
});

test('a watch of endpoints shows what there is, then arrivals, changes and departures', async () => {
  await send(report(0, [endpoint('a', 1), endpoint('b', 2)]));
  const stream = await openLines(server, '/v1/endpoints?watch=true');
  await stream.until((line) => line.type === 'BOOKMARK');
  await send(report(0, [endpoint('a', 1), endpoint('b', 3), endpoint('c', 4)]));
  await send(report(0, [endpoint('b', 3), endpoint('c', 4)]));
  await stream.until((line) => line.type === 'DELETED');
  assert.equal(
    stream.lines
      .filter((line) => line.object)
      .map((line) => `${line.type} ${line.object.workload} ${line.object.identity}`),
    ['ADDED shop/a 1', 'ADDED shop/b 2', 'MODIFIED shop/b 3', 'ADDED shop/c 4', 'DELETED shop/a 1'],
  );
  stream.close();
});

test('a report that is none is refused by field', async () => {
  const bad = { ...report(0), state: 'fine', extra: 1 };
  const { status, body } = await call(server, 'PUT', '/v1/agent/hosts/web-1/report', { body: bad });
  assert.is(status, 400);
  assert.equal(body.errors.map((error: { path: string }) => error.path).sort(), ['/extra', '/state']);
  assert.is((await call(server, 'PUT', '/v1/agent/hosts/-bad-/report', { body: report(0) })).status, 400);
});

test('a policy that would not fit the kernel is refused before anything changes', async () => {
  const names = Array.from({ length: 370 }, (_, i) => `w${i}`);
  const workloads = names.map((name) => ({
    apiVersion: 'postern.dev/v1',
    kind: 'Workload',
    metadata: { namespace: 'shop', name },
    spec: workload(name),
  }));
  const filled = await call(server, 'POST', '/v1/apply', {
    body: { apiVersion: 'v1', kind: 'List', items: workloads },
  });
  assert.is(filled.status, 200, filled.text);
  const everyPair = cnp('pairs');
  Object.assign(everyPair.spec, {
    endpointSelector: {},
    ingress: names.map((name, i) => ({
      fromEndpoints: [{ matchLabels: { app: name } }],
      toPorts: [{ ports: [{ port: String(1000 + i), protocol: 'TCP' }] }],
    })),
  });
  const before = (await call(server, 'GET', '/v1/policies')).body;
  for (const query of ['?dryRun=true', '']) {
    const { status, body } = await call(server, 'PUT', `/v1/policies/cnp/shop/pairs${query}`, { body: everyPair });
    assert.is(status, 422);
    assert.is(body.code, 'does-not-fit');
    assert.match(body.detail, /policyL3.*131072/);
  }
  assert.equal((await call(server, 'GET', '/v1/policies')).body, before);
  const fits = await call(server, 'PUT', '/v1/policies/cnp/shop/fits', { body: cnp('fits', 'w1') });
  assert.is(fits.status, 201);
  assert.is(fits.body.meta.revision, before.revision + 1, 'no revision was used up');
});

test.run();
