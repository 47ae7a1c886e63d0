// @timeout 120
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { call, cnp, eventually, startTestServer, type TestServer } from './harness.ts';

const test = suite('history');
let server: TestServer;

test.before(async () => {
  server = await startTestServer();
});
test.after(() => server?.close());

const TEXT = `# the store
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {namespace: shop, name: store}
spec:
  endpointSelector: {matchLabels: {app: store}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: frontend}}] # the shop
`;
const PATH = '/v1/policies/cnp/shop/store';

async function ok(method: string, target: string, body?: unknown, headers = {}) {
  const answer = await call(server, method, target, { ...(body !== undefined && { body }), headers });
  assert.ok(answer.status < 300, answer.text);
  return answer;
}

async function put(target: string, body: unknown): Promise<number> {
  return (await ok('PUT', target, body)).body.meta.revision;
}

const textAt = async (revision: number) =>
  (await ok('GET', `${PATH}/history/${revision}`, undefined, { accept: 'application/yaml' })).text;

test('each revision is kept: who, when, which fields, and the text as it came', async () => {
  const first = await put(PATH, TEXT);
  const second = await put(PATH, TEXT.replace('app: frontend', 'app: web'));
  const third = await put(PATH, TEXT.replace('app: frontend', 'app: web').replace('# the shop', '# the web'));
  await ok('DELETE', PATH);
  const { items } = (await ok('GET', `${PATH}/history`)).body;
  const path = '/spec/ingress/0/fromEndpoints/0/matchLabels/app';
  assert.equal(
    items.map(({ revision, action, changes }: Record<string, unknown>) => [revision, action, changes]),
    [
      [third + 1, 'delete', []],
      [third, 'update', []],
      [second, 'update', [{ path, before: 'frontend', after: 'web' }]],
      [first, 'create', []],
    ],
  );
  assert.ok(items.every((item: { at: string; by: string }) => item.by.startsWith('uid:') && item.at.endsWith('Z')));
  assert.is(await textAt(first), TEXT);
  assert.match(await textAt(third), /# the web/);
  const json = (await ok('GET', `${PATH}/history/${second}`)).body;
  assert.is(json.document.spec.ingress[0].fromEndpoints[0].matchLabels.app, 'web');
});

test('pages of a history hold each revision once', async () => {
  const seen: number[] = [];
  let cursor = '';
  do {
    const { body } = await ok('GET', `${PATH}/history?limit=1${cursor}`);
    seen.push(...body.items.map((item: { revision: number }) => item.revision));
    cursor = body.next === undefined ? '' : `&cursor=${body.next}`;
  } while (cursor !== '');
  assert.is(seen.length, 4);
  assert.equal(
    seen,
    [...seen].sort((a, b) => b - a),
  );
});

test('diff compares any two revisions, as fields and as text', async () => {
  const { items } = (await ok('GET', `${PATH}/history`)).body;
  const [gone, third, second, first] = items.map((item: { revision: number }) => item.revision);
  const { body } = await ok('GET', `${PATH}/diff?from=${first}&to=${third}`);
  assert.equal([body.from, body.to, body.changes.length], [first, third, 1]);
  assert.match(body.text, /^--- cnp\/shop\/store revision \d+\n\+\+\+ .*\n@@ -5,4 \+5,4 @@\n/);
  assert.match(body.text, /\n- .*app: frontend.*# the shop\n\+ .*app: web.*# the web\n$/);
  assert.is((await ok('GET', `${PATH}/diff?to=${second}`)).body.from, first);
  for (const side of ['from', 'to']) {
    const { status, body } = await call(server, 'GET', `${PATH}/diff?${side}=99999`);
    assert.is(status, 400);
    assert.match(body.detail, new RegExp(`Parameter ${side} "99999" is not there yet: the newest is \\d+`));
  }
  const whole = (await ok('GET', `${PATH}/diff`)).body;
  assert.equal([whole.from, whole.to], [third, gone]);
  assert.match(whole.text, /@@ -1,8 \+0,0 @@/);
});

test('rollback puts back the text of then under a new revision, also of a policy that is gone', async () => {
  const { items } = (await ok('GET', `${PATH}/history`)).body;
  const first = items.at(-1).revision;
  const dry = await ok('POST', `${PATH}:rollback?dryRun=true`, { revision: first });
  assert.is(dry.body.plan.changes[0].result, 'created');
  assert.is((await call(server, 'GET', PATH)).status, 404);
  const back = await ok('POST', `${PATH}:rollback`, { revision: first });
  assert.is(back.status, 201);
  assert.is((await ok('GET', PATH, undefined, { accept: 'application/yaml' })).text, TEXT);
  await put(PATH, TEXT.replace('frontend', 'web'));
  const again = await ok('POST', `${PATH}:rollback`, { revision: back.body.meta.revision });
  assert.is(again.status, 200);
  assert.is((await ok('GET', PATH, undefined, { accept: 'application/yaml' })).text, TEXT);
  assert.ok(again.body.meta.revision > back.body.meta.revision);
});

test('rollback honours If-Match, and refuses what never was, was not then, or is no revision', async () => {
  const { items } = (await ok('GET', `${PATH}/history`)).body;
  const rows: [string, unknown, number, RegExp, object?][] = [
    [`${PATH}:rollback`, { revision: items.at(-1).revision }, 412, /GET it again/, { 'if-match': '"00000000-1"' }],
    [`${PATH}:rollback`, { revision: items.at(-4).revision }, 409, /it was deleted at revision/],
    [`${PATH}:rollback`, { revision: 0 }, 400, /must be 1 or more/],
    [`${PATH}:rollback`, { revision: 1_000_000 }, 400, /is not there yet: the newest is/],
    [`${PATH}:rollback`, { revison: 1 }, 400, /did you mean ..revision/],
    ['/v1/policies/cnp/shop/never:rollback', { revision: 1 }, 404, /no cnp\/shop\/never/],
  ];
  await put('/v1/policies/cnp/shop/late', cnp('late'));
  rows.push(['/v1/policies/cnp/shop/late:rollback', { revision: items.at(-1).revision }, 409, /it was created later/]);
  for (const [target, body, status, message, headers = {}] of rows) {
    const answer = await call(server, 'POST', target, { body, headers: { ...headers } });
    assert.is(answer.status, status, answer.text);
    assert.match(answer.text, message);
  }
  assert.is((await call(server, 'GET', '/v1/policies/cnp/shop/never/history')).status, 404);
  assert.is((await call(server, 'GET', `${PATH}:rollback`)).status, 404);
  assert.is((await call(server, 'POST', PATH, { body: {} })).status, 405);
  assert.is((await call(server, 'POST', `${PATH}:rollbak`, { body: {} })).status, 404);
});

test('a clusterwide policy has the same paths, without a namespace', async () => {
  const base = '/v1/policies/ccnp/base';
  const document = (description: string) => ({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumClusterwideNetworkPolicy',
    metadata: { name: 'base' },
    spec: { description, endpointSelector: { matchLabels: { app: 'x' } }, ingress: [{}] },
  });
  const first = await put(base, document('one'));
  await put(base, document('two'));
  assert.equal((await ok('GET', `${base}/diff`)).body.changes, [
    { path: '/spec/description', before: 'one', after: 'two' },
  ]);
  await ok('POST', `${base}:rollback`, { revision: first });
  assert.is((await ok('GET', base)).body.document.spec.description, 'one');
});

test('parallel writers with If-Match lose no update, on two servers over one database', async () => {
  const socketDir = path.join(server.dir, 'run', 'pg');
  const other = await startTestServer({ databaseUrl: `postgres://postern@${encodeURIComponent(socketDir)}/postgres` });
  const target = '/v1/policies/cnp/shop/counter';
  const document = (n: number) => {
    const plain = cnp('counter');
    return { ...plain, spec: { ...plain.spec, description: String(n) } };
  };
  const WRITERS = 8;
  const EACH = 5;
  let stale = 0;
  const write = async (on: TestServer): Promise<void> => {
    for (let done = 0; done < EACH; ) {
      const { body, headers } = await call(on, 'GET', target);
      const answer = await call(on, 'PUT', target, {
        body: document(Number(body.document.spec.description) + 1),
        headers: { 'if-match': headers.etag! },
      });
      if (answer.status === 200) done++;
      else {
        assert.is(answer.status, 412, answer.text);
        stale++;
      }
    }
  };
  try {
    const created = await put(target, document(0));
    await eventually(async () => (await call(other, 'GET', target)).status === 200, 'the policy on the other server');
    await Promise.all(Array.from({ length: WRITERS }, (_, i) => write(i % 2 === 0 ? server : other)));
    // The embedded database's own server is not told of another's writes before it writes itself.
    const wanted = String(WRITERS * EACH);
    await eventually(
      async () => (await call(other, 'GET', target)).body.document.spec.description === wanted,
      `every update in the document, ${wanted} of them`,
    );
    const { items } = (await ok('GET', `${target}/history?limit=1000`)).body;
    assert.is(items.length, WRITERS * EACH + 1);
    assert.is(items.at(-1).revision, created);
    for (const { action, changes } of items.slice(0, -1)) {
      assert.is(action, 'update');
      assert.is(Number(changes[0].after), Number(changes[0].before) + 1);
    }
    assert.ok(stale > 0, 'the writers never met');
  } finally {
    await other.close();
  }
});

test('a server that requires If-Match answers 428 without it, for whatever exists, and creates without', async () => {
  const strict = await startTestServer({ requireIfMatch: true });
  try {
    const target = '/v1/policies/cnp/shop/strict';
    const created = await call(strict, 'PUT', target, { body: cnp('strict') });
    assert.is(created.status, 201);
    for (const [method, at, body] of [
      ['PUT', target, cnp('strict', 'other')],
      ['DELETE', target, undefined],
      ['POST', `${target}:rollback`, { revision: created.body.meta.revision }],
      ['POST', '/v1/apply', cnp('strict', 'other')],
    ] as const) {
      const refused = await call(strict, method, at, { ...(body !== undefined && { body }) });
      assert.equal([refused.status, refused.body.code], [428, 'precondition'], `${method} ${at}`);
    }
    const headers = { 'if-match': created.headers.etag! };
    assert.is((await call(strict, 'PUT', target, { body: cnp('strict', 'other'), headers })).status, 200);
    // Eight at once: exactly one creates, the others are told that it exists now.
    const many = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        call(strict, 'PUT', '/v1/policies/cnp/shop/race', { body: cnp('race', `a${i}`) }),
      ),
    );
    assert.equal(many.map(({ status }) => status).sort(), [201, 428, 428, 428, 428, 428, 428, 428]);
  } finally {
    await strict.close();
  }
});

test.run();
