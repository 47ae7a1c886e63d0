/** Who changed what, before and after. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { call, cnp, startTestServer, type TestServer, workload } from './harness.ts';

const test = suite('audit');
let server: TestServer;

const audit = async (query = '') => {
  const { status, body } = await call(server, 'GET', `/v1/audit?${query}`);
  assert.is(status, 200, JSON.stringify(body));
  return body;
};

test.before(async () => {
  server = await startTestServer();
  const put = (path: string, body: unknown) => call(server, 'PUT', path, { body });
  await put('/v1/workloads/shop/backend', workload('backend'));
  await put('/v1/workloads/shop/backend', { ...workload('backend'), description: 'the second' });
  await put('/v1/policies/cnp/shop/backend', cnp('backend'));
  await call(server, 'DELETE', '/v1/workloads/shop/backend');
});
test.after(() => server?.close());

test('each change is there with who, when, before and after, the newest first', async () => {
  const { items } = await audit('collection=workloads');
  assert.equal(
    items.map(({ action, key, actor }: { action: string; key: string; actor: string }) => [action, key, actor]),
    ['delete', 'update', 'create'].map((action) => [action, 'shop/backend', `uid:${process.geteuid?.()}`]),
  );
  const [gone, changed, made] = items;
  assert.equal(['after' in gone, gone.before.spec.description], [false, 'the second']);
  assert.equal([changed.before.spec.description, changed.after.spec.description], [undefined, 'the second']);
  assert.equal(['before' in made, made.after.spec.labels], [false, { app: 'backend' }]);
  assert.ok(Date.parse(made.at) <= Date.parse(gone.at) && made.revision < gone.revision);
});

test('filters by object, action, actor and time', async () => {
  const count = async (query: string) => (await audit(query)).items.length;
  assert.is(await count('key=cnp/shop/backend'), 1);
  assert.is(await count('action=create&collection=namespaces'), 1);
  assert.equal([await count('actor=uid:4711'), await count('until=1h'), await count('since=1h')], [0, 0, 5]);
});

test('pages neither repeat nor leave out', async () => {
  const keys: string[] = [];
  let next: string | undefined;
  do {
    const page = await audit(`limit=2${next === undefined ? '' : `&cursor=${next}`}`);
    keys.push(...page.items.map(({ revision, key }: { revision: number; key: string }) => `${revision} ${key}`));
    next = page.next;
  } while (next !== undefined);
  assert.equal([keys.length, new Set(keys).size], [5, 5]);
});

test('what is not understood is refused by name', async () => {
  for (const [query, path] of [
    ['collection=workload', '?collection'],
    ['action=put', '?action'],
    ['since=yesterday', '?since'],
    ['cursor=abc', '?cursor'],
    ['who=me', '?who'],
  ] as const) {
    const { status, body } = await call(server, 'GET', `/v1/audit?${query}`);
    assert.equal([status, body.errors[0].path], [400, path]);
  }
});

test.run();
