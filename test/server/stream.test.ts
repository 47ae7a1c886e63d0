// @timeout 300
import { connect, type Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { call, cnp, eventually, openLines, startTestServer, type TestServer } from './harness.ts';

const test = suite('streams');
let server: TestServer;

test.before(async () => {
  server = await startTestServer();
});
test.after(() => server?.close());

const LARGE = 900 * 1024;

async function putLarge(i: number): Promise<void> {
  const policy = cnp(`large${i}`);
  Object.assign(policy.spec, { description: 'x'.repeat(LARGE) });
  const { status, text } = await call(server, 'PUT', `/v1/policies/cnp/shop/large${i}`, { body: policy });
  assert.ok(status < 300, text);
}

/** Asks and then reads nothing. */
function deafReader(target: string): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connect(server.socketPath, () => {
      socket.pause();
      socket.write(`GET ${target} HTTP/1.1\r\nhost: x\r\n\r\n`);
      resolve(socket);
    });
    socket.on('error', () => undefined);
  });
}

test('a reader that does not read is cut off, and the others go on', async () => {
  const { listeners } = server.context.store;
  const target = `/v1/policies?watch=true&revision=${server.context.store.state.revision}`;
  const deaf = await deafReader(target);
  const reader = await openLines(server, target);
  await eventually(() => server.context.streams.count === 2, 'both');
  for (let i = 0; i < 14; i++) await putLarge(i);
  await eventually(() => server.context.streams.count === 1, 'one cut off');
  await reader.until((line) => line.object?.name === 'large13');
  assert.is(reader.lines.length, 14);
  reader.close();
  deaf.destroy();
  await eventually(
    () => server.context.streams.count === 0 && server.context.store.listeners === listeners,
    'nothing left',
  );
});

test('what is larger than a reader may fall behind still arrives whole', async () => {
  const agent = await openLines(server, '/v1/agent/stream?host=h');
  const snapshot = await agent.until((line) => line.type === 'snapshot');
  assert.is(snapshot.policies.length, 14);
  agent.close();
  const resumed = await openLines(server, `/v1/agent/stream?host=h&uid=${snapshot.uid}&revision=0`);
  await resumed.until((line) => line.revision === snapshot.revision);
  assert.is(resumed.lines.length, 14);
  resumed.close();
  const watch = await openLines(server, '/v1/policies?watch=true');
  await watch.until((line) => line.type === 'BOOKMARK');
  assert.is(watch.lines.length, 15);
  watch.close();
});

test('an agent that has missed nothing hears so at once, before anything changes', async () => {
  const { uid, revision } = server.context.store.state;
  const agent = await openLines(server, `/v1/agent/stream?host=h&uid=${uid}&revision=${revision}`);
  await call(server, 'PUT', '/v1/policies/cnp/shop/after', { body: cnp('after') });
  await agent.until((line) => line.type === 'delta');
  assert.equal(agent.lines[0], { type: 'bookmark', revision });
  agent.close();
});

test('SSE carries the same events, with ids to resume from', async () => {
  const { revision } = server.context.store.state;
  const stream = await openLines(server, `/v1/policies?watch=true&revision=${revision}`, {
    accept: 'text/event-stream',
  });
  await call(server, 'PUT', '/v1/policies/cnp/shop/small', { body: cnp('small') });
  await stream.until((line) => typeof line === 'string' && line.startsWith('data:'));
  assert.is(stream.lines[0], `id: ${revision + 1}`);
  assert.match(stream.lines[1], /^data: \{"type":"ADDED",/);
  stream.close();
});

test('streams end when the server does', async () => {
  const other = await startTestServer();
  const stream = await openLines(other, '/v1/agent/stream?host=h');
  await stream.until((line) => line.type === 'snapshot');
  await other.close();
  stream.close();
});

test.run();
