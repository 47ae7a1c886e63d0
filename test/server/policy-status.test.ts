// @timeout 120
import { rmSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { sql } from '../../src/server/database.ts';
import { call, cnp, eventually, startTestServer, type TestServer, temporaryDir, workload } from './harness.ts';

const test = suite('status of a policy');
const dir = temporaryDir();
let server: TestServer;

test.before(async () => {
  server = await startTestServer({ dir });
  for (const app of ['frontend', 'backend', 'batch']) await ok('PUT', `/v1/workloads/shop/${app}`, workload(app));
});
test.after(async () => {
  await server?.close();
  rmSync(dir, { recursive: true, force: true });
});

async function ok(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const answer = await call(server, method, path, { ...(body !== undefined && { body }), headers });
  assert.ok(answer.status < 300, answer.text);
  return answer.body;
}

const PATH = '/v1/policies/cnp/shop/backend';
const ALLOW = 'cnp/shop/backend ingress[0]';
const DENY = 'default deny of cnp/shop/backend';

async function send(rules: readonly string[], more: object = {}): Promise<string> {
  const time = new Date().toISOString();
  const flows = rules.map((rule) => ({
    time,
    event: rule.startsWith('default') ? 'deny' : 'accept',
    verdict: rule.startsWith('default') ? 'DROPPED' : 'FORWARDED',
    direction: 'INGRESS',
    protocol: 'TCP',
    rule,
    source: { workload: 'shop/frontend' },
    destination: { workload: 'shop/backend', port: 6379 },
    ...more,
  }));
  const body = [{ host: 'db-1' }, ...flows].map((line) => `${JSON.stringify(line)}\n`).join('');
  await ok('POST', '/v1/agent/flows', body, { 'content-type': 'application/x-ndjson' });
  return time;
}

const hitsOf = async (path = PATH) =>
  Object.fromEntries(
    (await ok('GET', path)).status.rules.map(({ rule, hits }: { rule: string; hits: number }) => [rule, hits]),
  );

test('each rule counts what it decided, once for each judgement, and says when last', async () => {
  await ok('PUT', PATH, cnp('backend'));
  assert.equal(await hitsOf(), { [ALLOW]: 0, [DENY]: 0 });
  const time = await send([ALLOW, ALLOW, DENY]);
  await send([ALLOW], { event: 'close' });
  await send([ALLOW], { rules: [ALLOW, 'cnp/shop/other ingress[0]'] });
  assert.equal(await hitsOf(), { [ALLOW]: 3, [DENY]: 1 });
  // On one host the sender tells it too, under the rule of the other end where it has none of its own.
  await send([ALLOW], { event: 'connect', direction: 'EGRESS' });
  assert.equal(await hitsOf(), { [ALLOW]: 3, [DENY]: 1 });
  const { rules } = (await ok('GET', PATH)).status;
  assert.is(rules[1].lastHit, time);
});

test('hits outlive a restart and a change of the text, and begin anew with what the rule says', async () => {
  await server.context.hits.flush();
  await send([ALLOW]);
  await server.close();
  server = await startTestServer({ dir });
  assert.equal(await hitsOf(), { [ALLOW]: 4, [DENY]: 1 });
  await ok('PUT', PATH, `# a comment\n${JSON.stringify(cnp('backend'))}`);
  assert.equal(await hitsOf(), { [ALLOW]: 4, [DENY]: 1 });
  const before = new Date(Date.now() - 1000).toISOString();
  await ok('PUT', PATH, cnp('backend', 'backend', 'batch'));
  assert.equal(await hitsOf(), { [ALLOW]: 0, [DENY]: 1 });
  await send([ALLOW], { time: before });
  assert.is((await hitsOf())[ALLOW], 0, 'judged by the rule before');
  await send([ALLOW]);
  assert.is((await hitsOf())[ALLOW], 1);
});

test('unusedFor lists policies with a rule that has decided nothing for so long; after 30 days it is a warning', async () => {
  await ok('PUT', '/v1/policies/cnp/shop/idle', cnp('idle', 'backend'));
  const names = async (query: string) =>
    (await ok('GET', `/v1/policies?${query}`)).items.map(({ name }: { name: string }) => name);
  const changed = Date.now();
  await eventually(() => Date.now() > changed, 'the next millisecond');
  const since = new Date().toISOString();
  await send([ALLOW]);
  assert.equal(await names(`unusedFor=${since}`), ['idle']);
  assert.equal(await names('unusedFor=1h'), []);
  assert.is((await call(server, 'GET', '/v1/policies?unusedFor=long')).status, 400);
  const monthAgo = new Date(Date.now() - 31 * 86_400_000).toISOString();
  await server.context.hits.flush();
  await server.context.store.db.query(
    sql`update rule_hits set last_hit = ${monthAgo}::timestamptz where rule = ${ALLOW}`,
  );
  await server.close();
  server = await startTestServer({ dir });
  const { warnings } = (await ok('GET', PATH)).status;
  assert.equal(warnings, [`${ALLOW} has decided nothing for 30 days, last at ${monthAgo}`]);
});

const annotated = (annotations: object, name = 'short', app = 'batch') => {
  const plain = cnp(name, app);
  return { ...plain, metadata: { ...plain.metadata, annotations } };
};

test('the owner and the expiry are shown; what opens when it expires is a warning', async () => {
  const expires = new Date(Date.now() + 3_600_000).toISOString();
  const annotations = { 'postern.dev/owner': 'team-shop', 'postern.dev/expires': expires };
  const { status } = await ok('PUT', '/v1/policies/cnp/shop/short', annotated(annotations));
  assert.equal([status.owner, status.expires], ['team-shop', expires]);
  assert.equal(status.warnings, ['when it expires, no policy selects shop/batch for ingress: everything is allowed']);
  await ok('PUT', '/v1/policies/cnp/shop/base', cnp('base', 'batch'));
  assert.equal((await ok('GET', '/v1/policies/cnp/shop/short')).status.warnings, []);
  await ok('DELETE', '/v1/policies/cnp/shop/base');
});

test('at its time a policy goes out of force by itself; the history says so, and a rollback needs a later time', async () => {
  const path = '/v1/policies/cnp/shop/brief';
  const soon = new Date(Date.now() + 300).toISOString();
  await ok('PUT', path, annotated({ 'postern.dev/expires': soon }, 'brief'));
  await eventually(async () => (await call(server, 'GET', path)).status === 404, 'the end of the policy');
  assert.ok(Date.now() >= Date.parse(soon));
  const { items } = await ok('GET', `${path}/history`);
  assert.equal([items[0].action, items[0].by], ['delete', 'expiry']);
  const back = await call(server, 'POST', `${path}:rollback`, { body: { revision: items[1].revision } });
  assert.equal([back.status, back.body.errors[0].path], [400, '/metadata/annotations/postern.dev~1expires']);
});

test('one that expired while no server ran goes when one starts; one that was given more time stays', async () => {
  const [gone, kept] = ['/v1/policies/cnp/shop/away', '/v1/policies/cnp/shop/kept'];
  const soon = new Date(Date.now() + 400).toISOString();
  await ok('PUT', gone, annotated({ 'postern.dev/expires': soon }, 'away'));
  await ok('PUT', kept, annotated({ 'postern.dev/expires': soon }, 'kept'));
  await ok('PUT', kept, annotated({ 'postern.dev/expires': new Date(Date.now() + 3_600_000).toISOString() }, 'kept'));
  await server.close();
  await eventually(() => Date.now() > Date.parse(soon), 'the time of expiry');
  server = await startTestServer({ dir });
  await eventually(async () => (await call(server, 'GET', gone)).status === 404, 'the end of the policy');
  assert.is((await call(server, 'GET', kept)).status, 200);
});

test('a rule that a deny rule shadows is a warning, one that keeps a port is none', async () => {
  const denying = (port?: string) => ({
    ...cnp('shadow'),
    spec: {
      endpointSelector: { matchLabels: { app: 'backend' } },
      ingress: [
        { fromEndpoints: [{ matchLabels: { app: 'frontend' } }], toPorts: [{ ports: [{ port: '80', endPort: 90 }] }] },
      ],
      ingressDeny: [{ fromEntities: ['all'], ...(port !== undefined && { toPorts: [{ ports: [{ port }] }] }) }],
    },
  });
  const rule = 'cnp/shop/shadow ingress[0]';
  const dry = await ok('POST', '/v1/apply?dryRun=true', denying());
  assert.equal(dry.results[0].warnings, [`${rule} allows nothing: shadowed by cnp/shop/shadow ingressDeny[0]`]);
  const whole = await ok('PUT', '/v1/policies/cnp/shop/shadow', denying());
  assert.equal(whole.status.warnings, [`${rule} allows nothing: shadowed by cnp/shop/shadow ingressDeny[0]`]);
  const part = await ok('PUT', '/v1/policies/cnp/shop/shadow', denying('80'));
  assert.equal(part.status.warnings, []);
  await ok('DELETE', '/v1/policies/cnp/shop/shadow');
  await ok('PUT', '/v1/policies/cnp/shop/deny', {
    ...cnp('deny'),
    spec: { endpointSelector: {}, ingressDeny: [{ fromEndpoints: [{ matchLabels: { app: 'batch' } }] }] },
  });
  assert.ok(
    (await ok('GET', PATH)).status.warnings.includes(
      `${ALLOW} allows nothing: shadowed by cnp/shop/deny ingressDeny[0]`,
    ),
  );
  await ok('DELETE', '/v1/policies/cnp/shop/deny');
});

test('a group that does not exist and a port that nobody declares are warnings, also in the answer of apply', async () => {
  const policy = {
    ...cnp('odd'),
    spec: {
      endpointSelector: { matchLabels: { app: 'backend' } },
      ingress: [{ toPorts: [{ ports: [{ port: 'web' }] }] }],
      ingressDeny: [{ fromCIDRSet: [{ cidrGroupRef: 'partners' }] }],
      egress: [{ toPorts: [{ ports: [{ port: 'db' }] }] }],
    },
  };
  const [group, web, db] = [
    'cnp/shop/odd ingressDeny[0] names the CiliumCIDRGroup partners, which does not exist: it matches nobody',
    'cnp/shop/odd ingress[0] names the port "web", which no workload that the policy selects declares: it matches nothing',
    'cnp/shop/odd egress[0] names the port "db", which no registered workload declares: it matches nothing',
  ];
  const nobody = { ...cnp('nobody'), spec: { endpointSelector: { matchLabels: { app: 'x' } }, ingress: [{}] } };
  const documents = { apiVersion: 'v1', kind: 'List', items: [policy, nobody] };
  const dry = await ok('POST', '/v1/apply?dryRun=true', documents);
  assert.equal(
    dry.results.map(({ warnings }: { warnings: string[] }) => warnings),
    [[group, web, db], ['selects no registered workload: check the labels of endpointSelector']],
  );
  await ok('PUT', '/v1/policies/cnp/shop/odd', policy);
  await ok('PUT', '/v1/policies/ccg/partners', {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumCIDRGroup',
    metadata: { name: 'partners' },
    spec: { externalCIDRs: ['192.0.2.0/24'] },
  });
  await ok('PUT', '/v1/workloads/shop/backend', { ...workload('backend'), ports: { web: '80/TCP' } });
  assert.equal((await ok('GET', '/v1/policies/cnp/shop/odd')).status.warnings, [db]);
  await ok('DELETE', '/v1/policies/cnp/shop/odd');
});

test('annotations of ours are checked by name; those that are not built yet are refused', async () => {
  const rows: [object, number, string, RegExp][] = [
    [{ 'postern.dev/expires': '1h' }, 400, 'expires', /must be a time/],
    [{ 'postern.dev/expires': '2020-01-01T00:00:00Z' }, 400, 'expires', /is over already/],
    [{ 'postern.dev/owner': ' ' }, 400, 'owner', /must be a name/],
    [{ 'postern.dev/mode': 'audti' }, 400, 'mode', /unknown mode/],
    [{ 'postern.dev/deny': 'reject' }, 400, 'deny', /unknown word/],
    [{ 'postern.dev/expiry': '2030-01-01T00:00:00Z' }, 422, 'expiry', /not supported yet/],
  ];
  for (const [annotations, status, key, message] of rows) {
    const answer = await call(server, 'PUT', '/v1/policies/cnp/shop/short', { body: annotated(annotations) });
    assert.is(answer.status, status, answer.text);
    assert.is(answer.body.errors[0].path, `/metadata/annotations/postern.dev~1${key}`);
    assert.match(answer.body.errors[0].message, message);
    assert.ok(answer.body.errors[0].line >= 1);
  }
});

test.run();
