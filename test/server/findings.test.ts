/** What agents find is kept until they find something else, over reports that do not repeat it and a restart. */
import { rmSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Finding } from '../../src/api/findings.ts';
import { call, type Lines, openLines, startTestServer, type TestServer, temporaryDir } from './harness.ts';

const test = suite('findings of hosts');
const dir = temporaryDir();
let server: TestServer;
let lines: Lines | undefined;

test.before(async () => {
  server = await startTestServer({ dir });
});
test.after(async () => {
  lines?.close();
  await server?.close();
  rmSync(dir, { recursive: true });
});

const finding = (host: string, workload: string, severity: Finding['severity'], kind: Finding['kind']): Finding => ({
  ...{ id: `${host}/${workload}/${kind}/a.service`, kind, severity, host, workload, unit: 'a.service' },
  ...{ subjects: ['x'], processes: [{ pid: 1, exe: '/x' }], what: 'w', means: 'm', fix: { text: 'f' } },
});
const A = finding('web-1', 'shop/a', 'high', 'helperSocket');
const B = finding('web-1', 'shop/b', 'low', 'setUserId');
const C = finding('web-2', 'shop/a', 'medium', 'sharedUser');

async function report(host: string, findings?: readonly Finding[]): Promise<void> {
  const body = {
    ...{ state: 'ready', appliedRevision: 1, degraded: [], agentVersion: '1', kernel: '6.1', features: {} },
    ...{ addresses: [], maps: [], counters: {}, endpoints: [], discover: [], findings },
  };
  assert.is((await call(server, 'PUT', `/v1/agent/hosts/${host}/report`, { body })).status, 204);
}
const list = async (query = ''): Promise<string[]> =>
  (await call(server, 'GET', `/v1/findings${query}`)).body.items.map(({ id }: Finding) => id);
const counts = async (host: string) => (await call(server, 'GET', `/v1/hosts/${host}`)).body.status.findings;

test('a host that has not looked has no counts, and one that found nothing has zeros', async () => {
  await report('web-1');
  assert.equal([await list(), await counts('web-1')], [[], undefined]);
  await report('web-1', []);
  assert.equal([await list(), await counts('web-1')], [[], { high: 0, medium: 0, low: 0 }]);
});

test('a report without findings changes none; filters are host, workload, kind and severity, words with commas', async () => {
  await report('web-1', [A, B]);
  await report('web-2', [C]);
  await report('web-1');
  assert.equal(await list(), [A.id, B.id, C.id]);
  assert.equal(await counts('web-1'), { high: 1, medium: 0, low: 1 });
  assert.equal(await list('?host=web-1&severity=high,medium'), [A.id]);
  assert.equal(await list('?workload=shop/a'), [A.id, C.id]);
  assert.equal(await list('?kind=sharedUser'), [C.id]);
  const first = (await call(server, 'GET', '/v1/findings?limit=1')).body;
  assert.equal([first.items, await list(`?limit=2&cursor=${first.next}`)], [[A], [B.id, C.id]]);
  const wrong = await call(server, 'GET', '/v1/findings?severity=high,bad');
  assert.equal([wrong.status, wrong.body.errors[0].allowed], [400, ['high', 'medium', 'low']]);
  assert.is((await call(server, 'GET', '/v1/findings?severty=high')).status, 400);
});

test('a watch says what is new and what is gone, and the metrics count', async () => {
  lines = await openLines(server, '/v1/findings?watch=true&host=web-1');
  await lines.until(({ type }) => type === 'BOOKMARK');
  assert.equal(
    lines.lines.map(({ type, object }) => [type, object?.id]),
    [
      ['ADDED', A.id],
      ['ADDED', B.id],
      ['BOOKMARK', undefined],
    ],
  );
  const text = (await call(server, 'GET', '/metrics')).text;
  assert.match(text, /^postern_findings\{host="web-1",kind="helperSocket",severity="high"\} 1$/m);
  await report('web-1', [B]);
  assert.is((await lines.until(({ type }) => type === 'DELETED')).object.id, A.id);
});

test('after a restart of the server they are still there', async () => {
  await server.close();
  server = await startTestServer({ dir });
  assert.equal(await list(), [B.id, C.id]);
  await report('web-1');
  await report('web-2', []);
  assert.equal(await list(), [B.id]);
});

test.run();
