// @timeout 300
import { connect } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { call, cnp, startTestServer, type TestServer, workload } from './harness.ts';

const test = suite('bad input');
let server: TestServer;

test.before(async () => {
  server = await startTestServer();
});
test.after(() => server?.close());

const path = '/v1/workloads/shop/a';
const JSON_TYPE = { 'content-type': 'application/json' };
const YAML_TYPE = { 'content-type': 'application/yaml' };
const send = (type: Record<string, string>, body: string, target = path) =>
  call(server, 'PUT', target, { headers: type, body });

test('a problem has all that RFC 9457 asks, names the field, the value and what is allowed', async () => {
  const { status, headers, body } = await call(server, 'PUT', path, {
    body: { labels: { app: 'a' }, match: { proces: { exe: '/bin/a' } } },
  });
  assert.is(status, 400);
  assert.match(String(headers['content-type']), /^application\/problem\+json/);
  assert.is(body.status, 400);
  assert.is(body.code, 'invalid');
  assert.is(body.requestId, headers['x-request-id']);
  assert.ok(body.type.startsWith('/docs#problem-'));
  const [error] = body.errors;
  assert.is(error.path, '/match/proces');
  assert.match(error.message, /did you mean "process"/);
  assert.ok(error.allowed.includes('process'));
  assert.is(error.line, 1);
});

test('what is not valid names its field', async () => {
  const rows: [object, string][] = [
    [{ match: { cgroup: '/a' } }, '/labels'],
    [{ labels: { app: 'a' } }, '/match'],
    [{ labels: { app: 'a' }, match: {} }, '/match'],
    [{ labels: { app: 'a' }, match: [] }, '/match'],
    [{ labels: { app: 5 }, match: { cgroup: '/a' } }, '/labels'],
    [{ labels: { 'b@d': 'a' }, match: { cgroup: '/a' } }, '/labels/b@d'],
    [{ labels: { app: 'a' }, match: { process: { exe: '/bin/[' } } }, '/match/process/exe'],
    [{ labels: { app: 'a' }, match: { listen: ['99999/tcp'] } }, '/match/listen/0'],
    [{ labels: { app: 'a' }, match: { cgroup: '/a' }, ports: { http: '8080' } }, '/ports/http'],
    [{ labels: { app: 'a' }, match: { cgroup: '/a' }, name: 'b' }, '/name'],
  ];
  for (const [body, field] of rows) {
    const answer = await call(server, 'PUT', path, { body });
    assert.is(answer.status, 400, JSON.stringify(body));
    assert.is(answer.body.errors[0].path, field, answer.text);
  }
});

test('what is understood and not there yet is 422, by name', async () => {
  const policy = cnp('a');
  Object.assign(policy.spec, { egress: [{ toFQDNs: [{ matchName: 'example.org' }] }] });
  const fqdn = await call(server, 'PUT', '/v1/policies/cnp/shop/a', { body: policy });
  assert.is(fqdn.status, 422);
  assert.match(fqdn.body.errors[0].message, /toFQDNs is not supported yet/);
});

test('a bad CIDR is named where it stands', async () => {
  const text = [
    'apiVersion: cilium.io/v2',
    'kind: CiliumNetworkPolicy',
    'metadata: {namespace: shop, name: a}',
    'spec:',
    '  endpointSelector: {}',
    '  egress:',
    '  - toCIDR: [10.0.0.0/33]',
  ].join('\n');
  const { status, body } = await send(YAML_TYPE, text, '/v1/policies/cnp/shop/a');
  assert.is(status, 400);
  assert.is(body.errors[0].path, '/spec/egress/0/toCIDR/0');
  assert.is(body.errors[0].line, 7);
  assert.is(body.errors[0].column, 14);
});

test('a syntax error has a line and a column', async () => {
  for (const [type, text, line] of [
    [JSON_TYPE, '{"labels":\n {"app" "a"}}', 2],
    [JSON_TYPE, '', 1],
    [YAML_TYPE, 'labels: {app: a}\nmatch: [', 2],
    [YAML_TYPE, 'labels: {app: a}\n\tmatch: x', 2],
  ] as const) {
    const { status, body } = await send(type, text);
    assert.is(status, 400, text);
    assert.is(body.code, text === '' ? body.code : 'syntax', text);
    if (text !== '') assert.is(body.errors[0].line, line, JSON.stringify(body));
  }
});

test('duplicate keys are refused in both languages', async () => {
  const json = await send(JSON_TYPE, '{"labels":{"app":"a"},"match":{"cgroup":"/a"},\n"labels":{"app":"b"}}');
  assert.is(json.status, 400);
  assert.is(json.body.errors[0].code, 'duplicate-key');
  assert.is(json.body.errors[0].line, 2);
  const yaml = await send(YAML_TYPE, 'labels: {app: a}\nmatch: {cgroup: /a}\nlabels: {app: b}\n');
  assert.is(yaml.status, 400);
  assert.is(yaml.body.errors[0].line, 3);
});

test('alias bombs, depth and strange characters are refused at once', async () => {
  const levels = 'abcdefghi'.split('');
  const bomb = levels
    .map((name, i) => `${name}: &${name} [${Array(9).fill(i === 0 ? 'x' : `*${levels[i - 1]}`)}]`)
    .join('\n');
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  for (const [type, text] of [
    [YAML_TYPE, bomb],
    [YAML_TYPE, '['.repeat(500_000)],
    [YAML_TYPE, '- '.repeat(300_000)],
    [YAML_TYPE, deep],
    [JSON_TYPE, deep],
    [JSON_TYPE, '{"labels":{"app":"a\\u0000"},"match":{"cgroup":"/a"}}'],
    [JSON_TYPE, '{"labels":{"app":"\\ud800"},"match":{"cgroup":"/a"}}'],
    [JSON_TYPE, '{"__proto__":{"a":1}}'],
  ] as const) {
    const { status } = await send(type, text);
    assert.is(status, 400, text.slice(0, 60));
  }
});

test('a body is at most 1 MiB, and 4 MiB for apply', async () => {
  const body = (bytes: number) => JSON.stringify({ labels: { app: 'a' }, description: 'x'.repeat(bytes) });
  assert.is((await send(JSON_TYPE, body(1024 * 1024))).status, 413);
  assert.is((await send(JSON_TYPE, body(1000 * 1024))).status, 400);
  const apply = (bytes: number) => call(server, 'POST', '/v1/apply', { headers: JSON_TYPE, body: body(bytes) });
  assert.is((await apply(2 * 1024 * 1024)).status, 400);
  const { status, body: problem } = await apply(5 * 1024 * 1024);
  assert.is(status, 413);
  assert.is(problem.code, 'too-large');
});

test('a body of unknown length is cut off when it is too long', async () => {
  const said = await new Promise<string>((resolve) => {
    const socket = connect(server.socketPath);
    let text = '';
    const end = () => resolve(text);
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('close', end).on('error', end);
    socket.write(
      `PUT ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n`,
    );
    const chunk = `10000\r\n${'x'.repeat(65536)}\r\n`;
    for (let i = 0; i < 80; i++) socket.write(chunk);
    socket.end('0\r\n\r\n');
  });
  assert.match(said, /^HTTP\/1\.1 413 /);
});

test('an unknown content type is 415 and says what is known', async () => {
  for (const type of ['application/x-www-form-urlencoded', 'text/plain']) {
    const { status, body } = await send({ 'content-type': type }, '{}');
    assert.is(status, 415);
    assert.match(body.hint, /content-type: application\/json/);
  }
});

test('an unknown path is 404, an unknown method 405 with those that there are', async () => {
  const path404 = await call(server, 'GET', '/v1/workload');
  assert.is(path404.status, 404);
  assert.is(path404.body.code, 'no-such-path');
  assert.match(path404.body.hint, /\/v1\/workloads/);
  const kind = await call(server, 'PUT', '/v1/policies/cpn/shop/a', { body: cnp('a') });
  assert.is(kind.status, 404);
  assert.match(kind.body.hint, /\/v1\/policies\/cnp\/shop\/a$/);
  const method = await call(server, 'POST', path, { body: workload('a') });
  assert.is(method.status, 405);
  assert.is(method.headers.allow, 'GET, PUT, DELETE');
  assert.is((await call(server, 'GET', '/v1/workloads/shop/none')).body.code, 'not-found');
});

test('an unknown or wrong parameter is refused by name', async () => {
  const unknown = await call(server, 'GET', '/v1/workloads?limits=5');
  assert.is(unknown.status, 400);
  assert.match(unknown.body.detail, /did you mean "limit"/);
  for (const query of ['limit=0', 'limit=x', 'limit=5000', 'cursor=%21', 'watch=maybe', 'labelSelector=%3D']) {
    assert.is((await call(server, 'GET', `/v1/workloads?${query}`)).status, 400, query);
  }
});

test('bad names in a path are refused', async () => {
  for (const name of ['Upper', '-a', 'a_b', 'a'.repeat(254)]) {
    assert.is((await call(server, 'PUT', `/v1/workloads/shop/${name}`, { body: workload('a') })).status, 400, name);
  }
  assert.is((await call(server, 'PUT', '/v1/namespaces/Bad', { body: {} })).status, 400);
});

test('a namespace cannot be renamed by its label', async () => {
  const { status, body } = await call(server, 'PUT', '/v1/namespaces/shop', {
    body: { labels: { 'kubernetes.io/metadata.name': 'other' } },
  });
  assert.is(status, 400);
  assert.is(body.errors[0].path, '/labels/kubernetes.io~1metadata.name');
});

test('an apply names both places of what is there twice, and says that a document must be an object', async () => {
  const body = [cnp('a'), cnp('b'), cnp('a')].map((one) => JSON.stringify(one)).join('\n---\n');
  const twice = await call(server, 'POST', '/v1/apply', { body, headers: YAML_TYPE });
  assert.is(twice.status, 409);
  assert.equal(
    twice.body.errors.map(({ message, line, document }: Record<string, unknown>) => [message, line, document]),
    [1, 5].map((line) => ['cnp/shop/a is there twice', line, 'CiliumNetworkPolicy shop/a']),
  );
  for (const [text, is] of [
    ['[]', 'an array'],
    ['"x"', 'a string'],
    ['5', 'a number'],
  ] as const) {
    const answer = await call(server, 'POST', '/v1/apply', { body: text, headers: JSON_TYPE });
    assert.is(answer.status, 400);
    assert.is(answer.body.errors[0].message, `must be an object with apiVersion and kind, is ${is}`);
  }
});

test('a document that belongs to another path is told by its kind alone; nothing is undefined', async () => {
  const answer = await call(server, 'PUT', '/v1/policies/ccnp/base', { body: cnp('a') });
  assert.is(answer.status, 400);
  assert.equal(
    answer.body.errors.map(({ path, value, allowed }: Record<string, unknown>) => [path, value, allowed]),
    [['/kind', 'CiliumNetworkPolicy', ['CiliumClusterwideNetworkPolicy']]],
  );
  const list = await call(server, 'POST', '/v1/policies:simulate', { body: { documents: {} } });
  assert.is(list.body.errors[0].message, 'must be an array, is an object');
});

test.run();
