/** Traffic with addresses outside: another network namespace at the far end of a veth pair. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { askTcp, askUdp, countOwn, ownAddresses } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { createNetns, joinNetns, type Netns } from './netns.ts';
import { app, cnp, only, port } from './policies.ts';
import { serve } from './run-in.ts';
import { told, until } from './wait.ts';

const test = suite('traffic with the outside');
const HERE = ['192.0.2.1', '2001:db8::1'];
const THERE = ['192.0.2.2', '2001:db8::2'];
let postern: Instance;
let inside: Netns;
let outside: Netns;
let server: ChildProcess;
let far: ChildProcess;
let accepted = '';

/** The workload asks outwards. */
const out = (address: string, to = 7001) =>
  askTcp(address, to, { cgroup: postern.makeCgroup('client.service'), netns: inside.path });
const outUdp = (address: string, connected: boolean, to = 7001) =>
  askUdp(address, to, { cgroup: postern.makeCgroup('client.service'), netns: inside.path, connected });
/** The outside asks the workload; where nothing is expected, a second of silence is enough. */
const into = (address: string, limitMs?: number, to = 7001) => askTcp(address, to, { netns: outside.path, limitMs });
const intoUdp = (address: string, limitMs?: number, to = 7001) => askUdp(address, to, { netns: outside.path, limitMs });
const SHORT = 1_000;

test.before(
  told(async () => {
    postern = await startInstance();
    inside = createNetns(`pt-${postern.name}-in`);
    outside = createNetns(`pt-${postern.name}-out`);
    joinNetns(inside, ['192.0.2.1/24', '2001:db8::1/64'], outside, ['192.0.2.2/24', '192.0.2.3/24', '2001:db8::2/64']);
    for (const name of ['client', 'server'])
      await postern.workload(`shop/${name}`, { labels: { app: name }, match: { systemdUnit: `${name}.service` } });
    const before = await countOwn(postern);
    const words = [process.execPath, join(import.meta.dirname, 'echo.mjs'), 'tcp:7001', 'tcp:7002', 'udp:7001'];
    server = await serve(words, /ready/, { cgroup: postern.makeCgroup('server.service'), netns: inside.path });
    server.stdout!.on('data', (text) => {
      accepted += text;
    });
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

test('without policy traffic passes both ways, IPv4 and IPv6, TCP and UDP', async () => {
  for (const address of THERE) {
    assert.is(await out(address), 'echo', address);
    assert.is(await outUdp(address, false), 'echo', address);
  }
  for (const address of HERE) {
    assert.is(await into(address), 'echo', address);
    assert.is(await intoUdp(address), 'echo', address);
  }
});

test('an enforced egress denies the world by default, EPERM at once', async () => {
  await only(postern, cnp('client', { egress: [{ toEndpoints: [app('server')] }] }));
  for (const address of THERE) {
    assert.is(await out(address), 'EPERM', address);
    for (const connected of [false, true]) assert.is(await outUdp(address, connected), 'EPERM', address);
  }
  const flow = await postern.flow('verdict=DROPPED&direction=EGRESS', () => true);
  assert.ok(flow.destination.labels.includes('reserved:world-ipv4'), flow.destination.labels.join());
  assert.is(flow.destination.workload, undefined);
});

test('toEntities world and all allow the outside, host and cluster do not', async () => {
  for (const [entity, met] of [
    ['world', 'echo'],
    ['all', 'echo'],
    ['host', 'EPERM'],
    ['cluster', 'EPERM'],
  ]) {
    await only(postern, cnp('client', { egress: [{ toEntities: [entity] }] }));
    for (const address of THERE) assert.is(await out(address), met, `${entity} ${address}`);
  }
});

test('toCIDR allows the prefix and its port only, and replies to datagrams come back', async () => {
  await only(postern, cnp('client', { egress: [{ toCIDR: ['192.0.2.2/32'], toPorts: [port(7001, 'ANY')] }] }));
  assert.is(await out('192.0.2.2'), 'echo');
  for (const connected of [false, true]) assert.is(await outUdp('192.0.2.2', connected), 'echo');
  assert.is(await out('192.0.2.2', 7002), 'EPERM');
  assert.is(await out('192.0.2.3'), 'EPERM');
  assert.is(await out('2001:db8::2'), 'EPERM');
  await only(postern, cnp('client', { egress: [{ toCIDR: ['2001:db8::/32'] }] }));
  assert.is(await out('2001:db8::2'), 'echo');
  assert.is(await out('192.0.2.2'), 'EPERM');
});

test('toCIDRSet allows all but its exceptions', async () => {
  await only(postern, cnp('client', { egress: [{ toCIDRSet: [{ cidr: '192.0.2.0/24', except: ['192.0.2.3/32'] }] }] }));
  assert.is(await out('192.0.2.2'), 'echo');
  assert.is(await out('192.0.2.3'), 'EPERM');
});

test('a group of prefixes is what its document says now', async () => {
  const group = (...externalCIDRs: string[]) => ({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumCIDRGroup',
    metadata: { name: 'partners', labels: { trust: 'low' } },
    spec: { externalCIDRs },
  });
  const named = { toCIDRSet: [{ cidrGroupSelector: { matchLabels: { trust: 'low' } }, except: ['192.0.2.3/32'] }] };
  await only(postern, cnp('client', { egress: [named] }), group('192.0.2.0/24'));
  assert.is(await out('192.0.2.2'), 'echo');
  assert.is(await out('192.0.2.3'), 'EPERM');
  assert.is(await out('2001:db8::2'), 'EPERM');
  await postern.apply(group('2001:db8::2'));
  assert.is(await out('2001:db8::2'), 'echo');
  assert.is(await out('192.0.2.2'), 'EPERM');
  await only(postern, cnp('client', { egress: [named] }));
  assert.is(await out('2001:db8::2'), 'EPERM', 'a group that is gone is nobody');
});

test('egressDeny of a prefix beats the world', async () => {
  await only(
    postern,
    cnp('client', { egress: [{ toEntities: ['world'] }], egressDeny: [{ toCIDR: ['192.0.2.3/32'] }] }),
  );
  assert.is(await out('192.0.2.2'), 'echo');
  assert.is(await out('192.0.2.3'), 'EPERM');
});

test('a prefix never names an address of this host', async () => {
  await only(postern, cnp('client', { egress: [{ toCIDR: ['0.0.0.0/0', '::/0'] }] }));
  assert.is(await out('192.0.2.2'), 'echo');
  for (const address of HERE) assert.is(await out(address), 'EPERM', address);
});

test('a SYN denied at the server is silent and never reaches accept()', async () => {
  await only(postern, cnp('server', { ingress: [{ fromEndpoints: [app('client')] }] }));
  accepted = '';
  for (const address of HERE) {
    const at = new Date().toISOString();
    assert.is(await into(address, SHORT), 'silence', address);
    assert.is(await intoUdp(address, SHORT), 'silence', address);
    for (const protocol of ['TCP', 'UDP']) {
      const flow = await postern.flow(`verdict=DROPPED&protocol=${protocol}&since=${at}`, () => true);
      assert.is(flow.direction, 'INGRESS');
      assert.is(flow.rule, 'default deny of cnp/shop/server');
      assert.is(flow.source.ip, THERE[HERE.indexOf(address)]);
    }
  }
  assert.is(await out('192.0.2.1'), 'echo', 'the workload on the same host may');
  await until('the allowed one was accepted', () => accepted !== '');
  assert.is(accepted, 'tcp 7001 from 192.0.2.1\n');
});

test('fromCIDR and fromCIDRSet admit by the source address', async () => {
  await only(postern, cnp('server', { ingress: [{ fromCIDR: ['192.0.2.2/32'], toPorts: [port(7001, 'ANY')] }] }));
  assert.is(await into('192.0.2.1'), 'echo');
  assert.is(await intoUdp('192.0.2.1'), 'echo');
  assert.is(await into('192.0.2.1', SHORT, 7002), 'silence');
  assert.is(await into('2001:db8::1', SHORT), 'silence');
  await only(
    postern,
    cnp('server', { ingress: [{ fromCIDRSet: [{ cidr: '192.0.2.0/24', except: ['192.0.2.2/31'] }] }] }),
  );
  assert.is(await into('192.0.2.1', SHORT), 'silence');
});

test('fromEntities world and all admit the outside, host and cluster do not', async () => {
  for (const [entity, met] of [
    ['world', 'echo'],
    ['all', 'echo'],
    ['host', 'silence'],
    ['cluster', 'silence'],
  ]) {
    await only(postern, cnp('server', { ingress: [{ fromEntities: [entity] }] }));
    const limitMs = met === 'silence' ? SHORT : undefined;
    for (const address of HERE) assert.is(await into(address, limitMs), met, `${entity} ${address}`);
  }
});

test('replies from the outside flow to a client whose ingress denies everything, what nobody asked for does not', async () => {
  await only(postern, cnp('client', { ingress: [{}] }));
  for (const address of THERE) {
    assert.is(await out(address), 'echo', address);
    for (const connected of [false, true]) assert.is(await outUdp(address, connected), 'echo', address);
  }
  // a socket that asked one address hears that one, and no other
  const port = 7003;
  const script = `use Socket; socket(S, PF_INET, SOCK_DGRAM, 0); bind(S, sockaddr_in(${port}, INADDR_ANY));
    $| = 1; send(S, "hello", 0, sockaddr_in(7001, inet_aton("192.0.2.2"))); print "asked\\n";
    while (my $from = recv(S, my $text, 99, 0)) { my ($p, $a) = sockaddr_in($from); print inet_ntoa($a), " $text\\n" }`;
  const asker = await serve(['perl', '-e', script], /192\.0\.2\.2 hello/, {
    cgroup: postern.makeCgroup('client.service'),
    netns: inside.path,
  });
  let heard = '';
  asker.stdout!.on('data', (text) => {
    heard += text;
  });
  try {
    assert.is(await intoUdp('192.0.2.1', SHORT, port), 'silence');
    const flow = await postern.flow(`verdict=DROPPED&port=${port}&protocol=UDP`, () => true);
    assert.is(flow.destination.workload, 'shop/client');
    assert.is(heard, '');
  } finally {
    asker.kill('SIGKILL');
  }
});

test.run();
