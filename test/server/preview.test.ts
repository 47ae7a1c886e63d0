/** Questions to agents: who is asked, who answers, and what is said of those who do not. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { call, type Lines, openLines, startTestServer, type TestServer } from './harness.ts';

const test = suite('asking agents');
const BODY = { match: { systemdUnit: 'orders.service' } };
let server: TestServer;
const open: Lines[] = [];

const preview = (body: object = BODY, query = '') => call(server, 'POST', `/v1/workloads:preview${query}`, { body });

async function agent(host: string): Promise<Lines> {
  const stream = await openLines(server, `/v1/agent/stream?host=${host}`);
  open.push(stream);
  await stream.until(({ type }) => type === 'snapshot');
  return stream;
}

async function report(host: string, labels: Record<string, string>): Promise<void> {
  const body = {
    ...{ state: 'ready', appliedRevision: 1, degraded: [], agentVersion: '1', kernel: '6.1', features: {} },
    ...{ addresses: [], maps: [], counters: {}, endpoints: [], discover: [], labels },
  };
  assert.is((await call(server, 'PUT', `/v1/agent/hosts/${host}/report`, { body })).status, 204);
}

/** Answers each question as it comes. */
async function answering(host: string, body: object): Promise<Lines> {
  const stream = await agent(host);
  const {
    type,
    id,
    preview: asked,
  } = await new Promise<{ type: string; id: string; preview: { match: unknown } }>(
    (resolve) => void stream.until((line) => line.type === 'ask').then(resolve),
  );
  assert.equal([type, asked.match], ['ask', [BODY.match]]);
  await call(server, 'POST', `/v1/agent/answers/${id}`, { body: { host, ...body } });
  return stream;
}

const EMPTY = { confidence: 0, processes: [], more: 0, waiting: [], scanned: 7, tookMs: 1 };

test.before(async () => {
  server = await startTestServer();
});
test.after.each(() => {
  for (const stream of open.splice(0)) stream.close();
});
test.after(() => server?.close());

test('without a host the answer has none, at once', async () => {
  const { status, body } = await preview();
  assert.equal([status, body.hosts, body.timeoutMs, body.grade], [200, [], 5000, 'firstPacket']);
});

test('who answers is heard, who is silent and who is away is named, who is not meant is not asked', async () => {
  await report('away', { site: 'fra' });
  await report('answers', { site: 'fra' });
  await report('silent', { site: 'fra' });
  await report('other', { site: 'lon' });
  const other = await agent('other');
  await agent('silent');
  const answers = answering('answers', { preview: EMPTY });
  const { body } = await preview({ ...BODY, hosts: { matchLabels: { site: 'fra' } } }, '?timeoutMs=1000');
  await answers;
  assert.equal(
    body.hosts.map(({ host, state, scanned }: { host: string; state: string; scanned?: number }) => [
      host,
      state,
      scanned,
    ]),
    [
      ['answers', 'answered', 7],
      ['away', 'away', undefined],
      ['other', 'elsewhere', undefined],
      ['silent', 'timeout', undefined],
    ],
  );
  assert.is(body.timeoutMs, 1000);
  assert.is(
    other.lines.some(({ type }) => type === 'ask'),
    false,
  );
});

test('a host that cannot say gives its reason', async () => {
  const answers = answering('answers', { problem: 'out of memory' });
  const { body } = await preview(BODY, '?host=answers');
  await answers;
  assert.equal(body.hosts, [{ host: 'answers', state: 'failed', problem: 'out of memory' }]);
});

test('an answer that comes too late is taken and means nothing', async () => {
  const late = await call(server, 'POST', '/v1/agent/answers/none', { body: { host: 'answers', preview: EMPTY } });
  assert.equal([late.status, late.body], [202, { waited: false }]);
});

test('what is asked is checked before anybody is', async () => {
  assert.is((await preview({ match: {} })).status, 400);
  assert.is((await preview(BODY, '?timeoutMs=5')).status, 400);
  assert.is((await preview(BODY, '?host=nowhere')).status, 404);
});

test.run();
