/** A peer without an agent, named by its addresses: another network namespace at the far end of a veth pair. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { askTcp, askUdp, countOwn, ownAddresses } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { createNetns, joinNetns, type Netns } from './netns.ts';
import { app, cnp, only } from './policies.ts';
import { serve } from './run-in.ts';
import { told } from './wait.ts';

const test = suite('a peer without an agent');
const HERE = ['192.0.2.1', '2001:db8::1'];
const PEER = ['192.0.2.2', '2001:db8::2'];
const STRANGER = '192.0.2.3';
let postern: Instance;
let inside: Netns;
let outside: Netns;
let server: ChildProcess;
let far: ChildProcess;

const out = (address: string) =>
  askTcp(address, 7001, { cgroup: postern.makeCgroup('client.service'), netns: inside.path });
const into = (address: string, limitMs?: number) => askTcp(address, 7001, { netns: outside.path, limitMs });
const intoUdp = (address: string, limitMs?: number) => askUdp(address, 7001, { netns: outside.path, limitMs });

test.before(
  told(async () => {
    postern = await startInstance();
    inside = createNetns(`pt-${postern.name}-in`);
    outside = createNetns(`pt-${postern.name}-out`);
    joinNetns(inside, ['192.0.2.1/24', '2001:db8::1/64'], outside, ['192.0.2.2/24', '192.0.2.3/24', '2001:db8::2/64']);
    for (const name of ['client', 'server'])
      await postern.workload(`shop/${name}`, { labels: { app: name }, match: { systemdUnit: `${name}.service` } });
    await postern.workload('shop/erp', { labels: { app: 'erp' }, addresses: PEER });
    const before = await countOwn(postern);
    const words = [process.execPath, join(import.meta.dirname, 'echo.mjs'), 'tcp:7001', 'udp:7001'];
    server = await serve(words, /ready/, { cgroup: postern.makeCgroup('server.service'), netns: inside.path });
    far = await serve(words, /ready/, { netns: outside.path });
    await ownAddresses(postern, before + 5);
  }),
);

test.after(async () => {
  server?.kill('SIGKILL');
  far?.kill('SIGKILL');
  await postern?.destroy();
  inside?.delete();
  outside?.delete();
});

test('policy allows connections to it by label, and to no other address', async () => {
  await only(postern, cnp('client', { egress: [{ toEndpoints: [app('erp')] }] }));
  for (const address of PEER) assert.is(await out(address), 'echo', address);
  assert.is(await out(STRANGER), 'EPERM');
  const flow = await postern.flow('verdict=FORWARDED&direction=EGRESS', () => true);
  assert.is(flow.destination.workload, 'shop/erp');
  assert.ok(flow.destination.labels.includes('user:app=erp'), flow.destination.labels.join());
});

test('policy allows connections from it by label, and from no other address', async () => {
  await only(postern, cnp('server', { ingress: [{ fromEndpoints: [app('erp')] }] }));
  for (const address of HERE) {
    assert.is(await into(address), 'echo', address);
    assert.is(await intoUdp(address), 'echo', address);
  }
  await only(postern, cnp('server', { ingress: [{ fromEndpoints: [app('client')] }] }));
  for (const address of HERE) assert.is(await into(address, 1_000), 'silence', address);
});

test('a CIDR rule means addresses that no workload has', async () => {
  await only(postern, cnp('client', { egress: [{ toCIDR: ['192.0.2.0/24', '192.0.2.2/32'] }] }));
  assert.is(await out(STRANGER), 'echo');
  assert.is(await out(PEER[0]!), 'EPERM');
});

test('an address that is taken from it or given to it counts at once', async () => {
  await only(postern, cnp('client', { egress: [{ toEndpoints: [app('erp')] }] }));
  await postern.workload('shop/erp', { labels: { app: 'erp' }, addresses: [STRANGER] });
  await postern.settled();
  assert.is(await out(STRANGER), 'echo');
  for (const address of PEER) assert.is(await out(address), 'EPERM', address);
});

test.run();
