// @timeout 120
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { call, cnp, startTestServer, type TestServer } from './harness.ts';

const test = suite('apply with If-Match');
let server: TestServer;

test.before(async () => {
  server = await startTestServer({ requireIfMatch: true });
});
test.after(() => server?.close());

const apply = (documents: object[], tags?: string, query = '') =>
  call(server, 'POST', `/v1/apply${query}`, {
    body: documents.map((one) => JSON.stringify(one)).join('\n---\n'),
    ...(tags !== undefined && { headers: { 'if-match': tags } }),
  });
const etag = async (name: string) => (await call(server, 'GET', `/v1/policies/cnp/shop/${name}`)).headers.etag!;
const etags = async (...names: string[]) => (await Promise.all(names.map(etag))).join(', ');
const team = (name: string) => {
  const plain = cnp(name);
  return { ...plain, metadata: { ...plain.metadata, labels: { team: 'shop' } } };
};

test('each document that exists is at a tag of the list, one that is new needs none, and nothing is written otherwise', async () => {
  assert.is((await apply([cnp('a'), cnp('b')])).status, 200); // where nothing is, none is asked for
  assert.is((await apply([cnp('a', 'x')])).status, 428);
  const seen = await etags('a', 'b');
  const partly = await apply([cnp('a', 'x'), cnp('b', 'x')], await etag('a'));
  assert.is(partly.status, 412, partly.text);
  assert.match(partly.body.detail, /If-Match asks for .* it is at/);
  const whole = await apply([cnp('a', 'x'), cnp('b', 'x'), cnp('c')], seen);
  assert.equal(
    whole.body.results?.map(({ name, result }: { name: string; result: string }) => `${name} ${result}`),
    ['a updated', 'b updated', 'c created'],
    whole.text,
  );
  assert.is((await apply([cnp('a', 'y'), cnp('b', 'y')], seen)).status, 412);
  assert.is((await apply([cnp('a', 'y')], '*')).status, 200);
});

test('a tag that none of the documents has is stale: what was seen is gone, and is not made again unseen', async () => {
  const seen = await etags('a', 'c');
  const headers = { 'if-match': await etag('c') };
  assert.is((await call(server, 'DELETE', '/v1/policies/cnp/shop/c', { headers })).status, 204);
  const answer = await apply([cnp('a', 'z'), cnp('c', 'z')], seen);
  assert.is(answer.status, 412, answer.text);
  assert.match(answer.body.detail, /where none of the documents is/);
  assert.is((await call(server, 'GET', '/v1/policies/cnp/shop/c')).status, 404);
});

test('what prune would delete is asked for too', async () => {
  await apply([team('p'), team('q')]);
  const short = await apply([team('p')], await etag('p'), '?prune=team=shop');
  assert.is(short.status, 412, short.text);
  assert.is((await apply([team('p')], await etags('p', 'q'), '?prune=team=shop')).status, 200);
  assert.is((await call(server, 'GET', '/v1/policies/cnp/shop/q')).status, 404);
});

test.run();
