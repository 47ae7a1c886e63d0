// @timeout 120
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parsePeerText } from '../../src/api/access.ts';
import { call, cnp, startTestServer, type TestServer, workload } from './harness.ts';

const test = suite('access:check');
let server: TestServer;

const REPORT = {
  state: 'ready',
  appliedRevision: 1,
  degraded: [],
  agentVersion: '0.1.0',
  kernel: '6.1.0',
  features: {},
  addresses: ['10.0.0.7'],
  maps: [],
  counters: {},
  discover: [],
  endpoints: [
    {
      id: 'db-1/812-1',
      workload: 'shop/backend',
      host: 'db-1',
      identity: 65793,
      state: 'ok',
      processes: [],
      listening: [{ port: 6379, protocol: 'TCP', address: '0.0.0.0' }],
    },
  ],
};

test.before(async () => {
  server = await startTestServer();
  for (const app of ['frontend', 'backend', 'stranger']) await ok('PUT', `/v1/workloads/shop/${app}`, workload(app));
  await ok('PUT', '/v1/workloads/erp/windows', { labels: { app: 'erp' }, addresses: ['10.9.0.0/28'] });
  await ok('PUT', '/v1/policies/cnp/shop/backend', cnp('backend'));
  await ok('PUT', '/v1/policies/cnp/shop/out', {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { namespace: 'shop', name: 'out' },
    spec: {
      endpointSelector: { matchLabels: { app: 'stranger' } },
      egress: [{ toCIDR: ['192.0.2.0/24'] }, { toEndpoints: [{ matchLabels: { app: 'backend' } }] }],
    },
  });
  await ok('PUT', '/v1/agent/hosts/db-1/report', REPORT);
});
test.after(() => server?.close());

async function ok(method: string, path: string, body: unknown) {
  const answer = await call(server, method, path, { body });
  assert.ok(answer.status < 300, answer.text);
  return answer.body;
}

const SETTINGS = { enablePolicy: 'default', pending: 'allow', deny: 'refused' };

const ask = (body: object) => call(server, 'POST', '/v1/access:check', { body });
const verdictOf = async (from: unknown, to: unknown, port = 6379) => {
  const { status, body, text } = await ask({ from, to, port });
  assert.is(status, 200, text);
  return body;
};

test('the example of the API: each side with its rule, or why none', async () => {
  const allowed = await verdictOf({ workload: 'shop/frontend' }, { workload: 'shop/backend' });
  assert.is(allowed.verdict, 'FORWARDED');
  assert.equal(allowed.egress.by, { default: 'no policy selects shop/frontend for egress' });
  assert.equal(allowed.ingress.by, { rule: 'cnp/shop/backend ingress[0]', why: 'allows app=frontend on 6379/TCP' });
  const denied = await verdictOf({ workload: 'shop/stranger' }, { workload: 'shop/backend' });
  assert.is(denied.verdict, 'DROPPED');
  assert.is(denied.egress.by.rule, 'cnp/shop/out egress[1]');
  assert.equal(denied.ingress.by, {
    rule: 'default deny of cnp/shop/backend',
    why: 'ingress[0] allows app=frontend on 6379/TCP only',
  });
});

test('texts of the command line mean the same as objects', async () => {
  const rows: [string, object][] = [
    ['shop/frontend', { workload: 'shop/frontend' }],
    ['shop/frontend@web-1', { workload: 'shop/frontend', host: 'web-1' }],
    ['10.0.0.5:443', { ip: '10.0.0.5', port: 443 }],
    ['10.0.0.5', { ip: '10.0.0.5' }],
    ['2001:db8::1', { ip: '2001:db8::1' }],
    ['[2001:db8::1]:443', { ip: '2001:db8::1', port: 443 }],
    ['world', { entity: 'world' }],
    ['host:web-1', { host: 'web-1' }],
    ['shop:app=web,tier=a', { namespace: 'shop', labels: { app: 'web', tier: 'a' } }],
    ['app=web', { selector: 'app=web' }],
    ['shop:app in (a,b)', { namespace: 'shop', selector: 'app in (a,b)' }],
  ];
  for (const [text, peer] of rows) assert.equal(parsePeerText(text), peer, text);
  assert.is((await verdictOf('shop/frontend', 'shop/backend')).verdict, 'FORWARDED');
});

test('labels that nobody has registered are answered as if somebody had', async () => {
  const denied = await verdictOf('shop:app=nobody', 'shop/backend');
  assert.equal([denied.verdict, denied.notes], ['DROPPED', ['no workload has the labels shop:app=nobody']]);
  const elsewhere = await verdictOf({ namespace: 'lab', labels: { app: 'frontend' } }, 'shop/backend');
  assert.is(elsewhere.verdict, 'DROPPED');
  const known = await verdictOf('shop:app=frontend', 'shop/backend');
  assert.equal([known.verdict, known.notes], ['FORWARDED', []]);
});

test('a selector asks for each workload, and lists the pairs when they differ', async () => {
  const { verdict, pairs } = await verdictOf('app in (frontend,stranger)', 'shop/backend');
  assert.is(verdict, 'DROPPED');
  assert.equal(
    pairs.map((pair: { from: { name: string }; verdict: string }) => [pair.from.name, pair.verdict]),
    [
      ['shop/frontend', 'FORWARDED'],
      ['shop/stranger', 'DROPPED'],
    ],
  );
  assert.is((await verdictOf('app=stranger', 'shop/backend')).pairs, undefined);
});

test('an address is what owns it: a prefix of a rule, a workload, what listens on a host, the host', async () => {
  const inside = await verdictOf('shop/stranger', '192.0.2.7:443', 443);
  assert.equal([inside.verdict, inside.egress.by.why], ['FORWARDED', 'allows 192.0.2.0/24']);
  assert.is((await verdictOf('shop/stranger', '198.51.100.1:443', 443)).verdict, 'DROPPED');
  assert.is((await verdictOf('shop/stranger', 'world', 443)).verdict, 'DROPPED');
  assert.equal((await verdictOf('shop/frontend', '10.9.0.3:80', 80)).notes, [
    '10.9.0.3 is an address of the workload erp/windows',
  ]);
  const listens = await verdictOf('shop/stranger', '10.0.0.7:6379');
  assert.is(listens.to.name, 'shop/backend@db-1');
  assert.is(listens.ingress.by.rule, 'default deny of cnp/shop/backend');
  const host = await verdictOf('10.0.0.7', 'shop/backend');
  assert.equal([host.from.name, host.from.identity], ['db-1', 1]);
});

test('a named host tells whether it runs there, and whether it has this revision', async () => {
  const { notes, revision } = await verdictOf('shop/frontend@db-1', 'shop/backend@db-1');
  assert.equal(notes, [
    'shop/frontend does not run on db-1 now',
    `db-1 has revision 1, this is the answer of ${revision}`,
  ]);
});

test('a port may be asked by the name that the registration of the destination gives it', async () => {
  const named = { ...workload('backend'), ports: { redis: '6379/TCP', probe: '53/UDP' } };
  await ok('PUT', '/v1/workloads/shop/backend', named);
  const to = { workload: 'shop/backend' };
  const from = { workload: 'shop/frontend' };
  const { body } = await ask({ from, to, port: 'redis' });
  assert.equal([body.port, body.verdict], [6379, 'FORWARDED']);
  assert.is((await ask({ from, to, port: '6379' })).body.port, 6379);
  for (const [question, message] of [
    [{ to, port: 'http' }, /shop\/backend has no such port of TCP/],
    [{ to, port: 'probe' }, /no such port of TCP/],
    [{ to: { ip: '192.0.2.7' }, port: 'redis' }, /only a workload has names for ports/],
    [{ to, port: '70000' }, /must be a number, 0 to 65535/],
    [{ to, port: 70000 }, /must be at most 65535/],
  ] as const) {
    const refused = await ask({ from, ...question });
    assert.is(refused.status, 400, refused.text);
    assert.is(refused.body.errors[0].path, '/port');
    assert.match(refused.body.errors[0].message, message);
  }
  assert.equal((await ask({ from, to, port: 'http' })).body.errors[0].allowed, ['redis (6379/TCP)', 'probe (53/UDP)']);
  await ok('PUT', '/v1/workloads/shop/backend', workload('backend'));
});

test('an empty selector and a prefix are no end', async () => {
  const to = { workload: 'shop/backend' };
  for (const [from, path, message] of [
    [{ selector: ' ' }, '/from/selector', /must not be empty/],
    ['', '/from/selector', /must not be empty/],
    ['10.0.0.0/8', '/from/workload', /is a prefix: ask for one address in it/],
  ] as const) {
    const { status, body } = await ask({ from, to, port: 6379 });
    assert.equal([status, body.errors[0].path], [400, path]);
    assert.match(body.errors[0].message, message);
  }
});

test('what cannot be asked is refused by field', async () => {
  const rows: [object, number, string, RegExp][] = [
    [{ from: 'shop/nobody', to: 'shop/backend', port: 1 }, 404, '/from/workload', /is not registered/],
    [{ from: 'shop/frontend', to: { host: 'x' }, port: 1 }, 404, '/to/host', /no agent of this name/],
    [{ from: 'shop/frontend', to: 'shop/backend' }, 400, '/port', /is required/],
    [{ from: 'shop/frontend', to: 'shop/backend', protocol: 'ICMP', port: 1 }, 400, '/port', /has no ports/],
    [{ from: 'shop/frontend', to: 'shop/backend', protocol: 'TPC', port: 1 }, 400, '/protocol', /did you mean "TCP"/],
    [{ from: 'shop/frontend', to: '10.0.0.7:80', port: 81 }, 400, '/port', /is not 80/],
    [{ from: 'shop/frontend', to: { entity: 'all' }, port: 1 }, 400, '/to/entity', /must be one/],
    [{ from: { ip: '1.2.3' }, to: 'world', port: 1 }, 400, '/from/ip', /must be an IPv4/],
    [{ from: { workload: 'a/b', ip: '1.2.3.4' }, to: 'world', port: 1 }, 400, '/from', /exactly one of/],
    [{ from: 'app in (', to: 'world', port: 1 }, 400, '/from/selector', /cannot read/],
    [{ from: 'app=none', to: 'world', port: 1 }, 404, '/from/selector', /selects nothing/],
    [{ from: 'world', to: 'world', port: 1, http: {} }, 422, '/http', /not supported yet/],
    [{ fron: 'world', to: 'world', port: 1 }, 400, '/fron', /did you mean "from"/],
  ];
  for (const [body, status, path, message] of rows) {
    const answer = await ask(body);
    assert.is(answer.status, status, answer.text);
    const error = answer.body.errors.find((item: { path: string }) => item.path === path);
    assert.ok(error, answer.text);
    assert.match(error.message, message);
  }
});

test('a host is judged by the host policies that select its labels', async () => {
  await ok('PUT', '/v1/agent/hosts/web-1/report', {
    ...REPORT,
    addresses: ['10.0.0.8'],
    endpoints: [],
    labels: { tier: 'web' },
  });
  await ok('PUT', '/v1/policies/ccnp/hosts', {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumClusterwideNetworkPolicy',
    metadata: { name: 'hosts' },
    spec: { nodeSelector: { matchLabels: { tier: 'web' } }, egress: [{ toEntities: ['cluster'] }] },
  });
  const { status } = (await call(server, 'GET', '/v1/policies/ccnp/hosts')).body;
  assert.equal([status.selects, status.warnings], [{ endpoints: 0, hosts: 1 }, []]);
  const web = await verdictOf({ host: 'web-1' }, { ip: '198.51.100.9' }, 443);
  assert.is(web.verdict, 'DROPPED');
  assert.is(web.egress.by.rule, 'default deny of ccnp/hosts');
  assert.is((await verdictOf({ host: 'db-1' }, { ip: '198.51.100.9' }, 443)).verdict, 'FORWARDED');
  await call(server, 'DELETE', '/v1/policies/ccnp/hosts');
});

test('it is a read, and described in OpenAPI under its own path', async () => {
  const { body } = await call(server, 'GET', '/openapi.json');
  assert.ok(body.paths['/v1/access:check'].post);
});

test('a denial says how it feels: as the policy has it, else the host; from another host it is silent', async () => {
  await ok('PUT', '/v1/agent/hosts/db-1/report', { ...REPORT, settings: SETTINGS });
  const backend = { workload: 'shop/backend' };
  const denial = async (from: object, to: object, side: 'egress' | 'ingress') =>
    (await ask({ from, to, port: 6379 })).body[side].denial;
  assert.is(await denial({ workload: 'shop/stranger' }, backend, 'ingress'), 'refused');
  assert.is(await denial({ ip: '203.0.113.9' }, backend, 'ingress'), 'timeout');
  assert.is(await denial({ workload: 'shop/frontend' }, backend, 'ingress'), undefined);
  const words = cnp('backend');
  await ok('PUT', '/v1/policies/cnp/shop/backend', {
    ...words,
    metadata: { ...words.metadata, annotations: { 'postern.dev/deny': 'eperm' } },
  });
  assert.is(await denial({ workload: 'shop/stranger' }, backend, 'ingress'), 'eperm');
  await ok('PUT', '/v1/policies/cnp/shop/backend', words);
});

test('a host where policy does less than the answer says is named', async () => {
  await ok('PUT', '/v1/agent/hosts/db-1/report', { ...REPORT, mode: 'audit', settings: SETTINGS });
  const { body } = await ask({ from: { workload: 'shop/stranger' }, to: { workload: 'shop/backend' }, port: 6379 });
  assert.is(body.verdict, 'DROPPED');
  assert.ok(body.notes.includes('db-1 is in mode audit: nothing is dropped there'), body.notes.join());
  const host = (await call(server, 'GET', '/v1/hosts/db-1')).body;
  assert.equal([host.mode, host.settings], ['audit', SETTINGS]);
  await ok('PUT', '/v1/agent/hosts/db-1/report', REPORT);
});

test('each side is judged by --enable-policy of its host; where hosts differ and none is named, that is said', async () => {
  const enable = (name: string, enablePolicy: string) =>
    ok('PUT', `/v1/agent/hosts/${name}/report`, {
      ...REPORT,
      endpoints: [],
      addresses: [],
      settings: { ...SETTINGS, enablePolicy },
    });
  const from = { workload: 'shop/frontend' };
  const to = { workload: 'shop/stranger' };
  const hosts = (await call(server, 'GET', '/v1/hosts')).body.items.map(({ name }: { name: string }) => name);
  for (const name of hosts) await enable(name, 'always');
  const always = (await ask({ from, to, port: 1 })).body;
  assert.equal([always.egress.verdict, always.ingress.verdict], ['DROPPED', 'DROPPED']);
  assert.match(always.ingress.by.rule, 'default deny of');
  await enable('web-1', 'never');
  const mixed = (await ask({ from: { ...from, host: 'web-1' }, to: { ...to, host: 'db-1' }, port: 1 })).body;
  assert.equal([mixed.verdict, mixed.egress.verdict, mixed.ingress.verdict], ['DROPPED', 'FORWARDED', 'DROPPED']);
  assert.is(mixed.egress.by.default, 'policy is never enforced here (enablePolicy=never)');
  const unsaid = (await ask({ from, to, port: 1 })).body;
  assert.is(unsaid.verdict, 'FORWARDED');
  assert.ok(
    unsaid.notes.some((note: string) => note.startsWith('db-1 has --enable-policy always')),
    unsaid.notes.join(),
  );
  await ok('PUT', '/v1/agent/hosts/db-1/report', REPORT);
});

test('a workload in observe is said to be in observe', async () => {
  await ok('PUT', '/v1/workloads/shop/stranger', { ...workload('stranger'), mode: 'observe' });
  const { body } = await ask({ from: { workload: 'shop/stranger' }, to: { ip: '198.51.100.1' }, port: 1 });
  assert.is(body.egress.by.default, 'shop/stranger is in mode observe: nothing is judged on its side');
  await ok('PUT', '/v1/workloads/shop/stranger', workload('stranger'));
});

test.run();
