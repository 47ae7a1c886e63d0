// @timeout 120
/** Policy of hosts' own processes (nodeSelector): what a dry run, a simulation and the capacity check say of it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { call, startTestServer, type TestServer, workload } from './harness.ts';

const test = suite('host policies on the server');
let server: TestServer;

const report = (labels: Record<string, string>, maxEntries = 262_144) => ({
  ...{ state: 'ready', appliedRevision: 1, degraded: [], agentVersion: '0.1.0', kernel: '6.1.0', features: {} },
  ...{
    addresses: [],
    maps: [{ name: 'policy_l3', entries: 0, maxEntries }],
    counters: {},
    discover: [],
    endpoints: [],
  },
  labels,
});
const policy = (spec: object, name = 'nodes') => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumClusterwideNetworkPolicy',
  metadata: { name },
  spec: { nodeSelector: { matchLabels: { tier: 'db' } }, ...spec },
});
const ssh = {
  fromEndpoints: [{ matchLabels: { app: 'frontend' } }],
  toPorts: [{ ports: [{ port: '22', protocol: 'TCP' }] }],
};
const PATH = '/v1/policies/ccnp/nodes';

test.before(async () => {
  server = await startTestServer();
  for (const app of ['frontend', 'backend']) await ok('PUT', `/v1/workloads/shop/${app}`, workload(app));
  await ok('PUT', '/v1/agent/hosts/db-1/report', report({ tier: 'db', site: 'fra' }, 1000));
  await ok('PUT', '/v1/agent/hosts/db-2/report', report({ tier: 'db', site: 'ber' }));
  await ok('PUT', '/v1/agent/hosts/web-1/report', report({ tier: 'web' }));
});
test.after(() => server?.close());

async function ok(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const answer = await call(server, method, path, { ...(body !== undefined && { body }), headers });
  assert.ok(answer.status < 300, answer.text);
  return answer.body;
}

// biome-ignore lint/suspicious/noExplicitAny: a test says what it expects
const short = ({ workload: who, direction, peer, ports, before, after, hosts, endpoints }: any) =>
  `${who} ${direction} ${peer} ${ports} ${before}>${after} on ${hosts} (${endpoints})`;
// biome-ignore lint/suspicious/noExplicitAny: a test says what it expects
const entries = ({ hosts }: any) =>
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects
  Object.fromEntries(hosts.map(({ host, entries: of, capacity }: any) => [host, [of, capacity.policyL3]]));

test('a dry run tells of the hosts that a first host policy closes, and counts its entries where they are', async () => {
  const { plan } = await ok('PUT', `${PATH}?dryRun=true`, policy({ ingress: [ssh] }));
  assert.equal(plan.verdicts.map(short), [
    'host ingress * everything FORWARDED>DROPPED on db-1,db-2 (2)',
    'host ingress shop/frontend everything but 22/TCP FORWARDED>DROPPED on db-1,db-2 (2)',
  ]);
  assert.is(plan.verdicts[0].rule, 'default deny of ccnp/nodes');
  assert.equal(plan.endpoints, [
    { id: 'db-1/host', workload: 'host', host: 'db-1' },
    { id: 'db-2/host', workload: 'host', host: 'db-2' },
  ]);
  assert.is(plan.identities, 1);
  // Everyone else and the frontend; two tables, one of them with a port.
  const added = { added: 5, removed: 0, changed: 0 };
  assert.equal(entries(plan), {
    'db-1': [added, { entries: 2, of: 500 }],
    'db-2': [added, { entries: 2, of: 131_072 }],
    'web-1': [
      { added: 0, removed: 0, changed: 0 },
      { entries: 0, of: 131_072 },
    ],
  });
  assert.is(plan.capacity.policyL3.entries, 2, 'of the host that needs most');
});

test('a change of one and its end are told for the hosts that it selects', async () => {
  await ok('PUT', PATH, policy({ ingress: [ssh] }));
  const here = { nodeSelector: { matchLabels: { site: 'fra' } } };
  const { plan } = await ok(
    'PUT',
    `/v1/policies/ccnp/more?dryRun=true`,
    policy({ ...here, ingress: [{ fromEntities: ['world'] }] }, 'more'),
  );
  assert.equal(
    plan.verdicts.map(short),
    ['world', 'world-ipv4', 'world-ipv6'].map(
      (peer) => `host ingress ${peer} everything DROPPED>FORWARDED on db-1 (1)`,
    ),
  );
  assert.equal(
    plan.endpoints.map(({ host }: { host: string }) => host),
    ['db-1'],
  );
  const same = await ok('PUT', '/v1/policies/ccnp/again?dryRun=true', policy({ ingress: [ssh] }, 'again'));
  assert.equal([same.plan.verdicts, same.plan.endpoints], [[], []]);
  const relabelled = await ok('PUT', '/v1/workloads/shop/frontend?dryRun=true', workload('other'));
  assert.equal(relabelled.plan.verdicts.map(short), [
    'host ingress shop/frontend 22/TCP FORWARDED>DROPPED on db-1,db-2 (2)',
  ]);
  const gone = await ok('DELETE', `${PATH}?dryRun=true`);
  assert.is(gone.plan.verdicts.length, 2);
  assert.equal(entries(gone.plan)['db-2'][0], { added: 0, removed: 5, changed: 0 });
  assert.equal(entries(gone.plan)['db-2'][1].entries, 0);
});

test('what only a host cannot hold is refused, and names it', async () => {
  // Each rule has a table of its own, of 40 ranges with some 15 prefixes each.
  const ports = Array.from({ length: 40 }, (_, i) => ({
    port: `${1600 * i + 1}`,
    endPort: 1600 * i + 1500,
    protocol: 'TCP',
  }));
  const half = (network: number, name: string) =>
    policy(
      {
        ingress: Array.from({ length: 120 }, (_, n) => ({
          fromCIDR: [`10.${network}.${n}.0/24`],
          toPorts: [{ ports }],
        })),
        enableDefaultDeny: { ingress: false },
      },
      name,
    );
  const first = await call(server, 'PUT', '/v1/policies/ccnp/large', { body: half(1, 'large') });
  assert.ok(first.status < 300, first.text.slice(0, 500));
  const second = await call(server, 'PUT', '/v1/policies/ccnp/larger', { body: half(2, 'larger') });
  assert.is(second.status, 422, second.text.slice(0, 500));
  assert.match(second.body.detail, /Cannot accept it on db-[12]: policy does not fit: \d+ port ranges/);
  await ok('DELETE', '/v1/policies/ccnp/large');
});

test('a simulation judges what a host itself said and heard by the policy of that host', async () => {
  const { status } = await ok('GET', '/v1/workloads/shop/backend');
  const flow = (host: string, i: number) => ({
    ...{ time: new Date(Date.now() - i).toISOString(), event: 'accept', verdict: 'FORWARDED', direction: 'INGRESS' },
    ...{
      protocol: 'TCP',
      host,
      source: { workload: 'shop/backend', identity: status.identity, ip: '10.0.0.7', port: 4000 + i },
    },
    destination: { identity: 1, ip: '10.0.0.8', port: 22 },
  });
  for (const host of ['db-1', 'db-2', 'web-1']) {
    const lines = [{ host }, flow(host, 1), flow(host, 2)];
    const body = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    await ok('POST', '/v1/agent/flows', body, { 'content-type': 'application/x-ndjson' });
  }
  const simulate = (body: object) => ok('POST', '/v1/policies:simulate', { since: '1h', ...body });
  await ok('DELETE', PATH);
  const closed = await simulate({ documents: [policy({ ingress: [ssh] })] });
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects
  const groups = (answer: any) =>
    // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects
    answer.groups.map(({ from, to, port, before, after, connections }: any) => [
      from,
      to,
      port,
      before.verdict,
      after,
      connections,
    ]);
  const rule = 'default deny of ccnp/nodes';
  assert.equal(groups(closed), [['shop/backend', 'host', 22, 'FORWARDED', { verdict: 'DROPPED', rule }, 4]]);
  assert.equal([closed.flows, closed.changed], [6, 4]);
  await ok('PUT', PATH, policy({ ingress: [ssh] }));
  assert.equal((await simulate({ documents: [policy({ ingress: [ssh] })] })).groups, []);
  const opened = await simulate({ documents: [], delete: ['ccnp/nodes'] });
  assert.equal(opened.changed, 4);
  assert.is(opened.groups[0].before.rule, rule);
});

test.run();
