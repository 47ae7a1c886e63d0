// @timeout 300
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { call, startTestServer, type TestServer, workload } from './harness.ts';

const test = suite('about');
let server: TestServer;

test.before(async () => {
  server = await startTestServer();
});
test.after(() => server?.close());

test('OpenAPI 3.1 describes every path, with schemas', async () => {
  const { status, body } = await call(server, 'GET', '/openapi.json');
  assert.is(status, 200);
  assert.is(body.openapi, '3.1.0');
  for (const path of [
    '/v1/workloads',
    '/v1/workloads/{namespace}/{name}',
    '/v1/policies',
    '/v1/policies/cnp/{namespace}/{name}',
    '/v1/policies/ccnp/{name}',
    '/v1/policies/netpol/{namespace}/{name}',
    '/v1/apply',
    '/v1/namespaces/{name}',
    '/v1/endpoints',
    '/v1/identities',
    '/v1/discover',
    '/v1/hosts',
    '/v1/flows',
    '/healthz',
    '/readyz',
    '/metrics',
    '/docs',
  ]) {
    assert.ok(path in body.paths, path);
  }
  const put = body.paths['/v1/workloads/{namespace}/{name}'].put;
  const schema = put.requestBody.content['application/json'].schema;
  assert.equal(schema.required, ['labels'], 'match, or addresses instead');
  assert.ok(schema.properties.addresses);
  assert.is(schema.additionalProperties, false);
  assert.ok(schema.properties.match.anyOf.length === 2);
  assert.ok(put.responses[422].content['application/problem+json']);
  const ids = Object.values(body.paths).flatMap((methods) =>
    Object.values(methods as Record<string, { operationId: string }>).map(({ operationId }) => operationId),
  );
  assert.is(new Set(ids).size, ids.length, 'operation ids differ');
});

test('no default in OpenAPI is one that its schema refuses', async () => {
  const { text } = await call(server, 'GET', '/openapi.json');
  assert.not.match(text, /"default":\[\]/);
});

test('a hint and the page name the way by which one came', async () => {
  const socket = await call(server, 'GET', '/v1/workloads/no/one');
  assert.is(socket.body.hint, `curl --unix-socket ${server.socketPath} http://localhost/v1/workloads`);
  for (const path of ['/v1/workloads/no/one', '/v1/workload']) {
    const { hint } = (await (await fetch(`${server.url}${path}`)).json()) as { hint: string };
    assert.is(hint, `curl ${server.url}/v1/workloads`);
  }
  assert.match(await (await fetch(`${server.url}/docs`)).text(), new RegExp(`P=${server.url}<`));
});

test('the page needs nothing from elsewhere and shows every path', async () => {
  const { headers, text } = await call(server, 'GET', '/docs');
  assert.match(String(headers['content-type']), /^text\/html/);
  assert.not.match(text, /<script|https?:\/\/(?!127\.0\.0\.1|localhost)/);
  assert.match(text, /\/v1\/workloads\/\{namespace\}\/\{name\}/);
  assert.match(text, /id="problem-invalid"/);
  const { body } = await call(server, 'GET', '/openapi.json');
  const paths = Object.keys(body.paths);
  assert.ok(paths.includes('/v1/workloads:preview'), 'a verb behind a colon is no parameter');
  for (const path of paths) assert.ok(text.includes(`${path}<`) || text.includes(`${path} `), path);
});

test('metrics are Prometheus text and count requests by status', async () => {
  await call(server, 'PUT', '/v1/workloads/shop/a', { body: workload('a') });
  const { text, headers } = await call(server, 'GET', '/metrics');
  assert.match(String(headers['content-type']), /version=0\.0\.4/);
  assert.match(text, /^postern_revision 1$/m);
  assert.match(text, /^postern_http_requests_total\{method="PUT",status="201"\} 1$/m);
  assert.match(text, /^postern_objects\{collection="workloads"\} 1$/m);
  for (const line of text.split('\n')) {
    assert.match(line, /^$|^# (HELP|TYPE) \w+ .+$|^\w+(\{[^}]*\})? [0-9.e+-]+$/);
  }
});

test('health is the process, readiness the database', async () => {
  assert.is((await call(server, 'GET', '/healthz')).text, 'ok\n');
  assert.match((await call(server, 'GET', '/readyz')).text, /^ready/);
});

test('every write that can be tried dry says which preconditions it takes', async () => {
  const { body } = await call(server, 'GET', '/openapi.json');
  for (const [path, methods] of Object.entries<Record<string, { parameters?: { name: string }[] }>>(body.paths)) {
    for (const [method, { parameters = [] }] of Object.entries(methods)) {
      const names = parameters.map(({ name }) => name);
      const isWrite = names.includes('dryRun');
      assert.is(names.includes('If-Match'), isWrite, `${method} ${path}`);
      assert.is(names.includes('If-None-Match'), isWrite && method === 'put', `${method} ${path}`);
    }
  }
});

test.run();
