// @timeout 120
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { call, cnp, startTestServer, type TestServer, workload } from './harness.ts';

const test = suite('dry run');
let server: TestServer;

const endpoint = (workloadKey: string, host: string, n: number) => ({
  id: `${host}/${n}-1`,
  workload: workloadKey,
  host,
  identity: 65793,
  state: 'ok',
  processes: [],
});
const report = (maxEntries: number, endpoints: object[]) => ({
  state: 'ready',
  appliedRevision: 1,
  degraded: [],
  agentVersion: '0.1.0',
  kernel: '6.1.0',
  features: {},
  addresses: [],
  maps: [{ name: 'policy_l3', entries: 0, maxEntries }],
  counters: {},
  discover: [],
  endpoints,
});

test.before(async () => {
  server = await startTestServer();
  for (const app of ['frontend', 'backend', 'stranger']) await ok('PUT', `/v1/workloads/shop/${app}`, workload(app));
  const one = [endpoint('shop/backend', 'db-1', 1), endpoint('shop/frontend', 'db-1', 2)];
  await ok('PUT', '/v1/agent/hosts/db-1/report', report(1000, one));
  await ok('PUT', '/v1/agent/hosts/db-2/report', report(2000, [endpoint('shop/backend', 'db-2', 3)]));
});
test.after(() => server?.close());

async function ok(method: string, path: string, body?: unknown) {
  const answer = await call(server, method, path, { ...(body !== undefined && { body }) });
  assert.ok(answer.status < 300, answer.text);
  return answer.body;
}

// biome-ignore lint/suspicious/noExplicitAny: a test says what it expects
const short = ({ workload: who, direction, peer, ports, before, after }: any) =>
  `${who} ${direction} ${peer} ${ports} ${before}>${after}`;
const PATH = '/v1/policies/cnp/shop/backend';

test('a first policy closes: whose verdicts change, where, the entries per host, and what is left', async () => {
  const { revision } = (await ok('GET', '/v1/policies')) as { revision: number };
  const { plan } = await ok('PUT', `${PATH}?dryRun=true`, cnp('backend'));
  assert.equal(plan.verdicts.map(short), [
    'shop/backend ingress * everything FORWARDED>DROPPED',
    'shop/backend ingress shop/frontend everything but 6379/TCP FORWARDED>DROPPED',
  ]);
  assert.equal(plan.verdicts[0].rule, 'default deny of cnp/shop/backend');
  assert.equal([plan.verdicts[0].endpoints, plan.verdicts[0].hosts], [2, ['db-1', 'db-2']]);
  assert.equal(
    plan.endpoints.map(({ id }: { id: string }) => id),
    ['db-1/1-1', 'db-2/3-1'],
  );
  // Everyone else, the frontend; two tables, one of them with a port.
  assert.equal(plan.entries, { added: 5, removed: 0, changed: 0 });
  assert.equal(plan.capacity.policyL3, { entries: 2, of: 131072 });
  assert.equal(
    plan.hosts.map(({ host, endpoints, entries, capacity }: Record<string, { policyL3: { of: number } }>) => [
      host,
      endpoints,
      entries,
      capacity!.policyL3,
    ]),
    [
      ['db-1', 1, plan.entries, { entries: 2, of: 500 }],
      ['db-2', 1, plan.entries, { entries: 2, of: 1000 }],
    ],
  );
  assert.is((await ok('GET', '/v1/policies')).revision, revision);
});

test('what a change opens and closes is told peer by peer and port by port, each with the rule', async () => {
  await ok('PUT', PATH, cnp('backend'));
  const { plan } = await ok('PUT', `${PATH}?dryRun=true`, cnp('backend', 'backend', 'stranger', '6380'));
  assert.equal(plan.verdicts.map(short), [
    'shop/backend ingress shop/frontend 6379/TCP FORWARDED>DROPPED',
    'shop/backend ingress shop/stranger 6380/TCP DROPPED>FORWARDED',
  ]);
  assert.equal(
    [plan.verdicts[0].ruleBefore, plan.verdicts[0].rule],
    ['cnp/shop/backend ingress[0]', 'default deny of cnp/shop/backend'],
  );
  const renamed = await ok('PUT', '/v1/policies/cnp/shop/second?dryRun=true', cnp('second', 'backend'));
  assert.equal([renamed.plan.verdicts, renamed.plan.endpoints], [[], []]);
  assert.is(renamed.plan.identities, 1);
  const gone = await ok('DELETE', `${PATH}?dryRun=true`);
  assert.equal(gone.plan.verdicts.map(short), [
    'shop/backend ingress * everything DROPPED>FORWARDED',
    'shop/backend ingress shop/frontend everything but 6379/TCP DROPPED>FORWARDED',
  ]);
  assert.equal(gone.plan.entries, { added: 0, removed: 5, changed: 0 });
});

test('an address prefix that a rule names is told by name', async () => {
  const { plan } = await ok('PUT', '/v1/policies/cnp/shop/out?dryRun=true', {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { namespace: 'shop', name: 'out' },
    spec: { endpointSelector: { matchLabels: { app: 'backend' } }, ingress: [{ fromCIDR: ['192.0.2.0/24'] }] },
  });
  assert.equal(plan.verdicts.map(short), ['shop/backend ingress 192.0.2.0/24 everything DROPPED>FORWARDED']);
  assert.is(plan.capacity.cidr.entries, 1);
});

test('a workload that is relabelled, made or deleted changes verdicts on both sides', async () => {
  const relabelled = await ok('PUT', '/v1/workloads/shop/frontend?dryRun=true', workload('other'));
  assert.equal(relabelled.plan.verdicts.map(short), ['shop/backend ingress shop/frontend 6379/TCP FORWARDED>DROPPED']);
  const second = { ...workload('backend'), match: { systemdUnit: 'second.service' } };
  const made = await ok('PUT', '/v1/workloads/shop/second?dryRun=true', second);
  assert.equal(made.plan.verdicts.map(short), [
    'shop/second ingress * everything FORWARDED>DROPPED',
    'shop/second ingress shop/frontend everything but 6379/TCP FORWARDED>DROPPED',
  ]);
  const deleted = await ok('DELETE', '/v1/workloads/shop/frontend?dryRun=true');
  assert.equal(deleted.plan.verdicts.map(short), ['shop/backend ingress shop/frontend 6379/TCP FORWARDED>DROPPED']);
});

test('apply tells of all its documents together, and a dry run that is refused says why', async () => {
  const { plan } = await ok(
    'POST',
    '/v1/apply?dryRun=true',
    JSON.stringify(cnp('stranger')).concat('\n---\n', JSON.stringify(cnp('frontend'))),
  );
  assert.equal(
    plan.changes.map(({ name, result }: { name: string; result: string }) => `${name} ${result}`),
    ['stranger created', 'frontend created'],
  );
  assert.equal(
    plan.verdicts.filter(({ peer }: { peer: string }) => peer === '*').map(short),
    ['frontend', 'stranger'].map((app) => `shop/${app} ingress * everything FORWARDED>DROPPED`),
  );
  const refused = await call(server, 'PUT', `${PATH}?dryRun=true`, { body: { ...cnp('backend'), spec: {} } });
  assert.is(refused.status, 400);
});

test('a dry run in between changes nothing for the write that follows', async () => {
  await ok('DELETE', `${PATH}?dryRun=true`);
  const { plan } = await ok('PUT', `${PATH}?dryRun=true`, cnp('backend'));
  assert.equal([plan.identities, plan.verdicts], [0, []]);
});

test('a host where policy is another by its own settings is named', async () => {
  const settings = { enablePolicy: 'never', pending: 'allow', deny: 'eperm' };
  await ok('PUT', '/v1/agent/hosts/db-3/report', { ...report(1000, []), mode: 'audit', settings });
  const { plan } = await ok('PUT', `${PATH}?dryRun=true`, cnp('backend', 'stranger'));
  const notes = [
    'db-3 is in mode audit: nothing is dropped there',
    'db-3 has --enable-policy never: no policy is in force there',
  ];
  assert.equal(plan.notes, notes);
  assert.equal((await ok('POST', '/v1/policies:simulate', { documents: [cnp('backend', 'stranger')] })).notes, notes);
});

test.run();
