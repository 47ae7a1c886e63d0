// @timeout 120
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { call, cnp, startTestServer, type TestServer, workload } from './harness.ts';

const test = suite('apply with prune');
let server: TestServer;

test.before(async () => {
  server = await startTestServer();
});
test.after(() => server?.close());

const policy = (name: string, labels?: object) => {
  const plain = cnp(name);
  return { ...plain, metadata: { ...plain.metadata, ...(labels !== undefined && { labels }) } };
};
const own = (app: string) => ({
  apiVersion: 'postern.dev/v1',
  kind: 'Workload',
  metadata: { namespace: 'shop', name: app },
  spec: workload(app),
});
const apply = (documents: object[], query = '') =>
  call(server, 'POST', `/v1/apply${query}`, { body: documents.map((one) => JSON.stringify(one)).join('\n---\n') });
async function applied(documents: object[], query = ''): Promise<string[]> {
  const { status, body, text } = await apply(documents, query);
  assert.is(status, 200, text);
  return body.results.map(({ name, result }: { name: string; result: string }) => `${name} ${result}`);
}
const names = async (collection: string) =>
  (await call(server, 'GET', `/v1/${collection}`)).body.items.map(({ name }: { name: string }) => name);

test('what the selector selects and the body does not name is deleted, in the same revision', async () => {
  const team = { team: 'shop' };
  await applied([policy('a', team), policy('b', team), policy('c', { team: 'lab' }), policy('d'), own('web')]);
  const before = (await call(server, 'GET', '/v1/policies')).body.revision;
  const dry = await applied([policy('a', team), policy('e', team)], '?prune=team=shop&dryRun=true');
  assert.equal(dry, ['a unchanged', 'e created', 'b deleted']);
  assert.equal(await names('policies'), ['a', 'b', 'c', 'd']);
  assert.equal(await applied([policy('a', team), policy('e', team)], '?prune=team=shop'), dry);
  assert.equal(await names('policies'), ['a', 'c', 'd', 'e']);
  assert.is((await call(server, 'GET', '/v1/policies')).body.revision, before + 1);
});

test('workloads are pruned only by a body that holds workloads', async () => {
  await applied([own('web'), own('db')]);
  await applied([policy('a', { team: 'shop' })], '?prune=team in (shop)'.replaceAll(' ', '+'));
  assert.equal(await names('workloads'), ['db', 'web']);
  const results = await applied([own('web')], '?prune=app+in+(web,db)');
  assert.equal(results, ['web unchanged', 'db deleted']);
});

test('a policy that prune could never find again, an empty selector and a wrong one are refused', async () => {
  const text = `${JSON.stringify(policy('a', { team: 'shop' }))}\n---\nkind: CiliumNetworkPolicy\napiVersion: cilium.io/v2\nmetadata:\n  name: x\n  namespace: shop\n  labels:\n    team: lab\nspec: {endpointSelector: {}, ingress: [{}]}\n`;
  const answer = await call(server, 'POST', '/v1/apply?prune=team=shop', { body: text });
  assert.is(answer.status, 400, answer.text);
  assert.equal(answer.body.errors, [
    {
      path: '/metadata/labels',
      message: 'must have the labels that prune selects by: team=shop',
      line: 8,
      column: 3,
      document: 'CiliumNetworkPolicy shop/x',
    },
  ]);
  for (const query of ['?prune=', '?prune=a+in+(']) {
    const refused = await apply([policy('a', { team: 'shop' })], query);
    assert.equal([refused.status, refused.body.errors[0].path], [400, '?prune']);
  }
});

test.run();
