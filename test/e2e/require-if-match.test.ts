import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from './instance.ts';

const test = suite('require If-Match');
let instance: Instance;
test.before(async () => {
  instance = await startInstance({ env: { POSTERN_REQUIRE_IF_MATCH: 'on' } });
});
test.after(() => instance?.destroy());

test('a Postern that is told to require If-Match answers 428 where it is missing', async () => {
  const at = '/v1/namespaces/strict';
  assert.is((await instance.api('PUT', at, { labels: { env: 'a' } })).status, 201);
  const { status, body } = await instance.api('PUT', at, { labels: { env: 'b' } });
  assert.equal([status, body.code], [428, 'precondition']);
  assert.is((await instance.api('GET', at)).body.labels.env, 'a');
});

test.run();
