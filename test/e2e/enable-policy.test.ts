/** The host's setting --enable-policy: whom default deny meets. */
import { createServer, type Server } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { askTcp } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { app, cnp, only } from './policies.ts';
import { told } from './wait.ts';

const test = suite('enable-policy');
let server: Server;
let port = 0;
const instances: Instance[] = [];

async function instanceWith(POSTERN_ENABLE_POLICY: string): Promise<{ postern: Instance; ask: () => Promise<string> }> {
  const postern = await startInstance({ env: { POSTERN_ENABLE_POLICY } });
  instances.push(postern);
  await postern.workload('shop/a', { labels: { app: 'a' }, match: { systemdUnit: 'a.service' } });
  const cgroup = postern.makeCgroup('a.service');
  return { postern, ask: () => askTcp('127.0.0.1', port, { cgroup }) };
}

test.before(
  told(async () => {
    server = createServer((socket) => socket.pipe(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as { port: number }).port;
  }),
);
test.after(async () => {
  server?.close();
  for (const instance of instances) await instance.destroy();
});

test('always: a workload that no policy selects is in default deny, and a rule opens what it names', async () => {
  const { postern, ask } = await instanceWith('always');
  assert.is(await ask(), 'EPERM');
  const flow = await postern.flow('verdict=DROPPED&last=50', ({ destination }) => destination?.port === port);
  assert.is(flow.rule, 'default deny of enablePolicy=always');
  await only(postern, cnp('a', { egress: [{ toEntities: ['host'] }] }));
  assert.is(await ask(), 'echo');
});

test('never: no policy is in force', async () => {
  const { postern, ask } = await instanceWith('never');
  await only(postern, cnp('a', { egress: [{ toEndpoints: [app('nobody')] }], egressDeny: [{ toEntities: ['all'] }] }));
  assert.is(await ask(), 'echo');
});

test.run();
