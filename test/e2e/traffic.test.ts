/** Verdicts on real sockets of one host: protocols, families, addresses, sections, ports, defaults, replies. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { askTcp, askUdp, countOwn, ownAddresses, ping } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { createNetns, type Netns } from './netns.ts';
import { app, cnp, only, port } from './policies.ts';
import { serve } from './run-in.ts';
import { told } from './wait.ts';

const test = suite('traffic on one host');
const ADDRESSES = ['127.0.0.1', '::1', '198.51.100.7', '2001:db8::7'];
let postern: Instance;
let netns: Netns;
let server: ChildProcess;
let accepted = '';

const as = (unit: string) => ({ cgroup: postern.makeCgroup(`${unit}.service`), netns: netns.path });
const tcp = (unit: string, address: string, to = 7001) => askTcp(address, to, as(unit));
const udp = (unit: string, address: string, connected: boolean, to = 7001) =>
  askUdp(address, to, { ...as(unit), connected });
const ports = async (unit: string, ...list: number[]) =>
  Object.fromEntries(await Promise.all(list.map(async (to) => [to, await tcp(unit, '127.0.0.1', to)] as const)));

test.before(
  told(async () => {
    postern = await startInstance();
    netns = createNetns(`pt-${postern.name}`);
    netns.ip('link add pt0 type veth peer name pt1');
    netns.ip('addr add 198.51.100.7/24 dev pt0');
    netns.ip('addr add 2001:db8::7/64 dev pt0 nodad');
    for (const link of ['pt0', 'pt1']) netns.ip(`link set ${link} up`);
    for (const name of ['client', 'other', 'server'])
      await postern.workload(`shop/${name}`, { labels: { app: name }, match: { systemdUnit: `${name}.service` } });
    const before = await countOwn(postern);
    const words = ['tcp:7001', 'tcp:7002', 'tcp:7003', 'tcp:7004', 'udp:7001', 'udp:7002'];
    server = await serve([process.execPath, join(import.meta.dirname, 'echo.mjs'), ...words], /ready/, as('server'));
    server.stdout!.on('data', (text) => {
      accepted += text;
    });
    await ownAddresses(postern, before + 4);
  }),
);

test.after(async () => {
  server?.kill('SIGKILL');
  netns?.delete();
  await postern?.destroy();
});

test('without policy TCP and UDP pass on loopback and on the own address, IPv4 and IPv6', async () => {
  for (const address of ADDRESSES) {
    assert.is(await tcp('client', address), 'echo', `tcp ${address}`);
    assert.is(await udp('client', address, false), 'echo', `udp ${address}`);
  }
});

test('the ingress of the destination decides who connects, on every address, EPERM at once', async () => {
  await only(postern, cnp('server', { ingress: [{ fromEndpoints: [app('client')] }] }));
  accepted = '';
  for (const address of ADDRESSES) {
    assert.is(await tcp('client', address), 'echo', `client, tcp ${address}`);
    assert.is(await tcp('other', address), 'EPERM', `other, tcp ${address}`);
    for (const connected of [false, true]) {
      assert.is(await udp('client', address, connected), 'echo', `client, udp ${address} ${connected}`);
      assert.is(await udp('other', address, connected), 'EPERM', `other, udp ${address} ${connected}`);
    }
  }
  assert.is(accepted.match(/^tcp/gm)?.length, 4, 'only the allowed ones reached accept()');
  assert.is(accepted.match(/^udp/gm)?.length, 8, 'only the allowed datagrams arrived');
});

test('a denial by the destination on the same host is one flow that names its side and rule', async () => {
  const at = new Date().toISOString();
  assert.is(await tcp('other', '127.0.0.1', 7003), 'EPERM');
  const query = `verdict=DROPPED&port=7003&since=${at}`;
  const flow = await postern.flow(query, () => true);
  assert.is(flow.event, 'deny');
  assert.is(flow.direction, 'INGRESS');
  assert.is(flow.rule, 'default deny of cnp/shop/server');
  assert.is(flow.source.workload, 'shop/other');
  assert.is(flow.destination.workload, 'shop/server');
  // a later flow of the same ring is there, so a second denial would be there too
  assert.is(await tcp('client', '127.0.0.1', 7004), 'echo');
  await postern.flow(`port=7004&since=${at}&event=close`, () => true);
  assert.is((await postern.api('GET', `/v1/flows?limit=500&${query}`)).body.items.length, 1);
});

test('the egress of the client decides, EPERM at once, and the flow says EGRESS', async () => {
  await only(postern, cnp('client', { egress: [{ toEndpoints: [app('nobody')] }] }));
  const at = new Date().toISOString();
  for (const address of ADDRESSES) {
    assert.is(await tcp('client', address), 'EPERM', `tcp ${address}`);
    for (const connected of [false, true])
      assert.is(await udp('client', address, connected), 'EPERM', `udp ${address} ${connected}`);
  }
  assert.is(await tcp('other', '127.0.0.1'), 'echo', 'nobody else is touched');
  for (const protocol of ['TCP', 'UDP']) {
    const flow = await postern.flow(`verdict=DROPPED&protocol=${protocol}&since=${at}`, () => true);
    assert.is(flow.direction, 'EGRESS');
    assert.is(flow.dropReason, 'POLICY_DENIED');
    assert.is(flow.rule, 'default deny of cnp/shop/client');
  }
});

test('default deny holds only in the direction that is selected', async () => {
  await only(postern, cnp('server', { ingress: [{}] }));
  assert.is(await tcp('client', '127.0.0.1'), 'EPERM', 'an empty rule selects and allows nobody');
  assert.is(await tcp('server', '198.51.100.7', 7999), 'ECONNREFUSED', 'egress of the server is open');
  await only(postern, cnp('server', { egress: [{ toEndpoints: [app('nobody')] }] }));
  assert.is(await tcp('client', '127.0.0.1'), 'echo', 'ingress of the server is open, and its replies flow');
  for (const connected of [false, true])
    assert.is(await udp('client', '127.0.0.1', connected), 'echo', 'and its answers to datagrams');
});

test('replies flow to a client whose ingress denies everything', async () => {
  await only(postern, cnp('client', { ingress: [{ fromEndpoints: [app('nobody')] }] }));
  for (const address of ADDRESSES) {
    assert.is(await tcp('client', address), 'echo', `tcp ${address}`);
    for (const connected of [false, true])
      assert.is(await udp('client', address, connected), 'echo', `udp ${address} ${connected}`);
  }
});

test('egressDeny and ingressDeny beat every allow, and the flow names the deny rule', async () => {
  const everything = { ingress: [{ fromEndpoints: [{}] }] };
  await only(postern, cnp('server', { ...everything, ingressDeny: [{ fromEndpoints: [app('other')] }] }));
  assert.is(await tcp('client', '127.0.0.1'), 'echo');
  assert.is(await tcp('other', '127.0.0.1'), 'EPERM');
  const ingress = await postern.flow('dropReason=POLICY_DENY', () => true);
  assert.is(ingress.rule, 'cnp/shop/server ingressDeny[0]');
  const egress = [{ toEndpoints: [{}] }];
  await only(postern, cnp('client', { egress, egressDeny: [{ toEndpoints: [app('server')], toPorts: [port(7002)] }] }));
  assert.equal(await ports('client', 7001, 7002, 7003), { 7001: 'echo', 7002: 'EPERM', 7003: 'echo' });
  const denied = await postern.flow('dropReason=POLICY_DENY&direction=EGRESS', () => true);
  assert.is(denied.rule, 'cnp/shop/client egressDeny[0]');
});

test('a port allows itself only, a range with endPort all in it, and a protocol not the other', async () => {
  const from = { fromEndpoints: [app('client')] };
  await only(postern, cnp('server', { ingress: [{ ...from, toPorts: [port(7002)] }] }));
  assert.equal(await ports('client', 7001, 7002, 7003), { 7001: 'EPERM', 7002: 'echo', 7003: 'EPERM' });
  assert.is(await udp('client', '127.0.0.1', false, 7002), 'EPERM', 'TCP is not UDP');
  await only(postern, cnp('server', { ingress: [{ ...from, toPorts: [port(7002, 'TCP', 7003)] }] }));
  assert.equal(await ports('client', 7001, 7002, 7003, 7004), {
    7001: 'EPERM',
    7002: 'echo',
    7003: 'echo',
    7004: 'EPERM',
  });
  await only(postern, cnp('server', { ingress: [{ ...from, toPorts: [port(7001, 'UDP')] }] }));
  assert.is(await udp('client', '127.0.0.1', true), 'echo');
  assert.is(await udp('client', '127.0.0.1', true, 7002), 'EPERM');
  assert.is(await tcp('client', '127.0.0.1'), 'EPERM', 'UDP is not TCP');
  await only(postern, cnp('server', { ingress: [{ ...from, toPorts: [port(7001, 'ANY')] }] }));
  assert.is(await udp('client', '::1', false), 'echo');
  assert.is(await tcp('client', '::1'), 'echo');
});

test('matchExpressions select, and several rules add up', async () => {
  const notOther = { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['other'] }] };
  await only(
    postern,
    cnp('server', {
      ingress: [
        { fromEndpoints: [notOther], toPorts: [port(7001)] },
        { fromEndpoints: [app('other')], toPorts: [port(7002)] },
      ],
    }),
  );
  assert.equal(await ports('client', 7001, 7002), { 7001: 'echo', 7002: 'EPERM' });
  assert.equal(await ports('other', 7001, 7002), { 7001: 'EPERM', 7002: 'echo' });
});

test('a host without a workload is the entity host', async () => {
  await only(postern, cnp('server', { ingress: [{ fromEntities: ['host'] }] }));
  assert.is(await tcp('plain', '127.0.0.1'), 'echo');
  assert.is(await tcp('client', '127.0.0.1'), 'EPERM');
  await only(postern, cnp('client', { egress: [{ toEntities: ['host'] }] }));
  assert.is(await tcp('client', '127.0.0.1'), 'EPERM', 'a workload is never the host');
  assert.is(await tcp('client', '127.0.0.1', 7999), 'ECONNREFUSED', 'where nobody listens is the host');
});

test('a ping passes by a rule without ports only', async () => {
  const target = '198.51.100.7';
  await only(postern);
  assert.is(await ping(target, as('client')), 'echo', 'no policy');
  await only(postern, cnp('client', { egress: [{ toEntities: ['all'], toPorts: [port(1, 'ANY', 65535)] }] }));
  assert.is(await ping(target, as('client')), 'EPERM', 'ports do not allow it');
  await only(postern, cnp('client', { egress: [{ toEntities: ['all'] }] }));
  assert.is(await ping(target, as('client')), 'echo', 'a rule without ports does');
});

test('NetworkPolicy and CiliumClusterwideNetworkPolicy say the same in their own words', async () => {
  await only(postern, {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { namespace: 'shop', name: 'np' },
    spec: {
      podSelector: { matchLabels: { app: 'server' } },
      policyTypes: ['Ingress'],
      ingress: [
        { from: [{ podSelector: { matchLabels: { app: 'client' } } }], ports: [{ port: 7001, protocol: 'TCP' }] },
      ],
    },
  });
  assert.equal(await ports('client', 7001, 7002), { 7001: 'echo', 7002: 'EPERM' });
  assert.is(await tcp('other', '127.0.0.1'), 'EPERM');
  await only(postern, {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumClusterwideNetworkPolicy',
    metadata: { name: 'wide' },
    spec: { endpointSelector: app('server'), ingress: [{ fromEndpoints: [app('other')] }] },
  });
  assert.is(await tcp('client', '127.0.0.1'), 'EPERM');
  assert.is(await tcp('other', '127.0.0.1'), 'echo');
});

test('without policies again everything is open again', async () => {
  await only(postern);
  assert.equal(await ports('client', 7001, 7002), { 7001: 'echo', 7002: 'echo' });
  assert.is(await udp('other', '::1', false), 'echo');
});

test.run();
