/** ICMP by its types: requests, their answers, and answers that nobody asked for. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { countOwn, ownAddresses, ping } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { createNetns, joinNetns, type Netns } from './netns.ts';
import { cnp, only } from './policies.ts';
import { type Puppet, startPuppet } from './puppet.ts';
import { told } from './wait.ts';

const test = suite('ICMP types');
const HERE = { 4: '192.0.2.1', 6: '2001:db8::1' } as const;
const THERE = { 4: '192.0.2.2', 6: '2001:db8::2' } as const;
let postern: Instance;
let inside: Netns;
let outside: Netns;
let here: Puppet;
let there: Puppet;
let cgroup: string;
let id = 0;

const out = (type: number, family: 4 | 6 = 4) => here.tell(`icmp - ${THERE[family]} ${type} ${++id}`);
/** Whether a message from outside reaches the workload's raw socket. */
async function into(type: number, family: 4 | 6 = 4): Promise<string> {
  assert.is(await there.tell(`icmp - ${HERE[family]} ${type} ${++id}`), 'sent');
  return here.tell(`heard ${type} ${id} 300`);
}
const types = (...fields: object[]) => ({ icmps: [{ fields }] });

test.before(
  told(async () => {
    postern = await startInstance();
    inside = createNetns(`pt-${postern.name}-in`);
    outside = createNetns(`pt-${postern.name}-out`);
    joinNetns(inside, ['192.0.2.1/24', '2001:db8::1/64'], outside, ['192.0.2.2/24', '2001:db8::2/64']);
    await postern.workload('shop/pinger', { labels: { app: 'pinger' }, match: { systemdUnit: 'pinger.service' } });
    const before = await countOwn(postern);
    cgroup = postern.makeCgroup('pinger.service');
    here = startPuppet({ cgroup, netns: inside.path });
    there = startPuppet({ netns: outside.path });
    await ownAddresses(postern, before + 4);
    for (const family of [4, 6]) assert.is(await here.tell(`hear ${family}`), 'ok');
  }),
);

test.after(async () => {
  here?.end();
  there?.end();
  await postern?.destroy();
  inside?.delete();
  outside?.delete();
});

test('egress by type: what is named goes out, all else is EPERM, answers that nobody asked for too', async () => {
  await only(postern, cnp('pinger', { egress: [types({ type: 8 }, { family: 'IPv6', type: 'EchoRequest' })] }));
  assert.is(await out(8), 'sent');
  for (const type of [0, 3, 13, 42]) assert.is(await out(type), 'EPERM', String(type));
  assert.is(await out(128, 6), 'sent');
  for (const type of [129, 1]) assert.is(await out(type, 6), 'EPERM', String(type));
});

test('the answer to a request that may go out comes in, through a default deny', async () => {
  await only(postern, cnp('pinger', { egress: [types({ type: 8 })], ingress: [{}] }));
  assert.is(await ping(THERE[4], { cgroup, netns: inside.path }), 'echo');
  for (const type of [0, 8, 13]) assert.is(await into(type), 'no', `${type} by itself`);
});

test('ingress by type: what is named comes in, all else is silent', async () => {
  await only(postern, cnp('pinger', { ingress: [types({ type: 8 }, { family: 'IPv6', type: 128 })] }));
  assert.is(await into(8), 'yes');
  for (const type of [0, 13]) assert.is(await into(type), 'no', String(type));
  assert.is(await into(128, 6), 'yes');
  assert.is(await into(129, 6), 'no');
});

test('a deny of one type leaves the others', async () => {
  await only(
    postern,
    cnp('pinger', {
      egress: [{ toEntities: ['world'] }],
      egressDeny: [{ toEntities: ['world'], ...types({ type: 8 }) }],
    }),
  );
  assert.is(await out(8), 'EPERM');
  assert.is(await out(13), 'sent');
  const flow = await postern.flow(
    'verdict=DROPPED',
    ({ protocol, rule }) => protocol === 'ICMPv4' && rule !== undefined && rule.includes('egressDeny'),
  );
  assert.is(flow.rule, 'cnp/shop/pinger egressDeny[0]');
  assert.equal(flow.icmp, { type: 8, code: 0 });
  assert.is(flow.destination.port, undefined);
});

test('a request that was allowed opens nothing once the policy has changed', async () => {
  await only(postern, cnp('pinger', { egress: [types({ type: 8 })] }));
  assert.is(await out(8), 'sent');
  await only(postern, cnp('pinger', { egress: [types({ type: 13 })] }));
  assert.is(await out(8), 'EPERM');
  assert.is(await out(13), 'sent');
});

test('VRRP and IGMP are named whole', async () => {
  const raw = async (protocol: number) => here.tell(`raw ${THERE[4]} ${protocol}`);
  await only(postern, cnp('pinger', { egress: [{ toPorts: [{ ports: [{ protocol: 'VRRP' }] }] }] }));
  assert.is(await raw(112), 'sent');
  assert.is(await raw(2), 'EPERM');
  assert.is(await out(8), 'EPERM');
});

test.run();
