// @timeout 120
/** How a denial feels to the program: EPERM, a refusal, silence; and that in none of them anything arrives. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { askTcp, askUdp, countOwn, ownAddresses, ping } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { createNetns, joinNetns, type Netns } from './netns.ts';
import { cnp, only, port } from './policies.ts';
import { run, serve } from './run-in.ts';
import { told, until } from './wait.ts';

const test = suite('how a denial feels');
const HERE = ['192.0.2.1', '2001:db8::1'];
const THERE = ['192.0.2.2', '2001:db8::2'];
/** Where silence is expected: what outlasts it has not been answered. */
const SHORT = 1_000;
let postern: Instance;
let inside: Netns;
let outside: Netns;
let server: ChildProcess;
let far: ChildProcess;
let arrived = '';

const client = () => ({ cgroup: postern.makeCgroup('client.service'), netns: inside.path });
const tcp = (address: string, limitMs?: number) => askTcp(address, 7001, { ...client(), limitMs });

/** The client asks all of these at once, over TCP and over UDP on both kinds of sockets; each meets just this. */
async function meets(addresses: readonly string[], overTcp: string, overUdp: string): Promise<void> {
  const ask = async (address: string) => {
    const limitMs = overTcp === 'silence' ? SHORT : undefined;
    const datagrams = [false, true].map((connected) => askUdp(address, 7001, { ...client(), connected, limitMs }));
    return Promise.all([tcp(address, limitMs), ...datagrams]);
  };
  const met = await Promise.all(addresses.map(ask));
  assert.equal(
    met,
    addresses.map(() => [overTcp, overUdp, overUdp]),
  );
}
const connect = (...words: string[]) => ['perl', join(import.meta.dirname, 'connect.pl'), ...words];

type Word = 'eperm' | 'refused' | 'timeout';

/** The client may go nowhere. */
const closed = (deny?: Word) => saying(cnp('client', { egress: [{ toEntities: ['none'] }] }), deny);

function saying(document: Record<string, any>, deny?: Word): Record<string, any> {
  if (deny === undefined) return document;
  return { ...document, metadata: { ...document.metadata, annotations: { 'postern.dev/deny': deny } } };
}

/** Segments and datagrams that have come to the far end, of both families. */
async function received(): Promise<number> {
  const { stdout } = await run(['cat', '/proc/net/snmp', '/proc/net/snmp6'], { netns: outside.path });
  const rows = stdout.split('\n').map((line) => line.trim().split(/\s+/));
  const of = (protocol: string, name: string): number => {
    const [names, values] = rows.filter(([first]) => first === `${protocol}:`);
    return Number(values![names!.indexOf(name)]);
  };
  const of6 = (name: string): number => Number(rows.find(([first]) => first === name)![1]);
  return (
    of('Tcp', 'InSegs') + of('Udp', 'InDatagrams') + of('Udp', 'NoPorts') + of6('Udp6InDatagrams') + of6('Udp6NoPorts')
  );
}

/** SYNs of a socket that waits for an answer: how often it was sent again. */
async function sentAgain(to: number): Promise<number> {
  const { stdout } = await run(['cat', '/proc/net/tcp', '/proc/net/tcp6'], { netns: inside.path });
  const rows = stdout.split('\n').map((line) => line.trim().split(/\s+/));
  const row = rows.find(([, , remote, state]) => state === '02' && Number.parseInt(remote!.split(':')[1]!, 16) === to);
  return row === undefined ? -1 : Number.parseInt(row[6]!, 16);
}

/** What flows say of connections to this port. */
async function eventsTo(to: number): Promise<string[]> {
  const { body } = await postern.api('GET', `/v1/flows?port=${to}&limit=500`);
  return body.items
    .filter((flow: any) => flow.destination?.port === to)
    .map(({ event, verdict, direction, rule }: any) => `${event} ${verdict} ${direction} ${rule}`);
}

test.before(
  told(async () => {
    postern = await startInstance({ env: { POSTERN_DENY: 'refused' } });
    inside = createNetns(`pt-${postern.name}-in`);
    outside = createNetns(`pt-${postern.name}-out`);
    joinNetns(inside, ['192.0.2.1/24', '2001:db8::1/64'], outside, ['192.0.2.2/24', '2001:db8::2/64']);
    await run(['sysctl', '-qw', 'net.ipv4.tcp_syn_retries=1'], { netns: inside.path });
    for (const name of ['client', 'server'])
      await postern.workload(`shop/${name}`, { labels: { app: name }, match: { systemdUnit: `${name}.service` } });
    const before = await countOwn(postern);
    const words = [process.execPath, join(import.meta.dirname, 'echo.mjs'), 'tcp:7001', 'udp:7001'];
    server = await serve(words, /ready/, { cgroup: postern.makeCgroup('server.service'), netns: inside.path });
    far = await serve(words, /ready/, { netns: outside.path });
    for (const end of [server, far])
      end.stdout!.on('data', (text) => {
        arrived += text;
      });
    await ownAddresses(postern, before + 4);
  }),
);

test.after(async () => {
  server?.kill('SIGKILL');
  far?.kill('SIGKILL');
  await postern?.destroy();
  inside?.delete();
  outside?.delete();
});

const ROWS: readonly [word: Word | undefined, tcp: string, udp: string, curl: number][] = [
  ['eperm', 'EPERM', 'EPERM', 7],
  ['refused', 'ECONNREFUSED', 'ECONNREFUSED', 7],
  ['timeout', 'silence', 'silence', 28],
  [undefined, 'ECONNREFUSED', 'ECONNREFUSED', 7],
];

for (const [word, overTcp, overUdp, curl] of ROWS)
  test(`${word ?? 'the host default'}: what is denied outwards meets it, and nothing leaves the host`, async () => {
    await only(postern);
    for (const address of THERE) assert.is(await tcp(address), 'echo', address); // neighbours know each other
    await only(postern, closed(word));
    const before = await received();
    await meets(THERE, overTcp, overUdp);
    const urls = ['http://192.0.2.2:7001/', 'http://[2001:db8::2]:7001/'];
    const ended = await Promise.all(urls.map((url) => run(['curl', '-sS', '--connect-timeout', '1', url], client())));
    assert.equal(
      ended.map(({ code }) => code),
      [curl, curl],
    );
    assert.is(await received(), before);
  });

for (const [word, overTcp, overUdp] of ROWS)
  test(`${word ?? 'the host default'}: what another workload of this host denies meets it, and does not arrive`, async () => {
    await only(postern);
    for (const address of HERE) assert.is(await tcp(address), 'echo', address);
    await only(postern, saying(cnp('server', { ingress: [{ fromEntities: ['none'] }] }), word));
    const before = arrived;
    await meets(HERE, overTcp, overUdp);
    assert.is(arrived, before);
  });

test('the clearest of those that closed the endpoint decides; a deny rule is its own policy', async () => {
  const deny = cnp('client', { egressDeny: [{ toCIDR: ['192.0.2.2/32', '198.51.100.0/24'] }] }, 'deny');
  await only(postern, closed('timeout'), saying(cnp('client', { egress: [{ toEntities: ['none'] }] }, 'b'), 'eperm'));
  for (const address of THERE) assert.is(await tcp(address), 'EPERM', address);
  await only(postern, closed('eperm'), saying(deny, 'timeout'));
  assert.is(await tcp('192.0.2.2', SHORT), 'silence');
  assert.is(await tcp('2001:db8::2'), 'EPERM');
  const { body } = await postern.api('POST', '/v1/access:check', {
    from: { workload: 'shop/client' },
    to: { ip: '198.51.100.7' },
    port: 443,
  });
  assert.is(body.egress.denial, 'timeout');
  assert.is(body.egress.by.rule, 'cnp/shop/deny egressDeny[0]');
});

test('timeout: connect() ends by its own time, and all of its SYNs are one flow', async () => {
  await only(postern, closed('timeout'));
  const waiting = run(connect('192.0.2.2', '7011'), client());
  const waiting6 = run(connect('2001:db8::2', '7012', 'nonblocking'), client());
  await until('a SYN was sent again', async () => (await sentAgain(7011)) > 0);
  await postern.workload('shop/unrelated', { labels: { app: 'x' }, match: { systemdUnit: 'x.service' } });
  await only(postern, closed('timeout'), cnp('x', { egress: [{ toEntities: ['none'] }] })); // everybody is judged again
  assert.is((await waiting).stdout, 'ETIMEDOUT\n');
  assert.is((await waiting6).stdout, 'EINPROGRESS\nETIMEDOUT\n');
  await run(connect('192.0.2.2', '7013'), { ...client(), limitMs: 100 });
  await postern.flow('port=7013', () => true); // what came before has been told
  for (const to of [7011, 7012])
    assert.equal(await eventsTo(to), ['deny DROPPED EGRESS default deny of cnp/shop/client']);
});

test('timeout: a connect() that waits goes through with its next SYN once it may', async () => {
  await only(postern, closed('timeout'));
  const waiting = run(connect('192.0.2.2', '7001'), client());
  await until('it waits', async () => (await sentAgain(7001)) >= 0);
  await only(postern, cnp('client', { egress: [{ toCIDR: ['192.0.2.0/24'], toPorts: [port(7001)] }] }));
  assert.is((await waiting).stdout, 'connected\n');
  const flow = await postern.flow('port=7001&event=connect', ({ destination }) => destination.ip === '192.0.2.2');
  assert.is(flow.verdict, 'FORWARDED');
});

test('timeout: the peer cannot open the connection from its side while the denied one waits', async () => {
  await only(postern, closed('timeout'));
  const waiting = run(connect('192.0.2.2', '7021', 'from', '7020'), client());
  await until('it waits', async () => (await sentAgain(7021)) >= 0);
  // a SYN from just there to just here: RFC 9293 3.5 would make it a connection
  const theirs = run(connect('192.0.2.1', '7020', 'from', '7021'), { netns: outside.path, limitMs: SHORT });
  assert.is((await theirs).stdout, '');
  assert.is((await waiting).stdout, 'ETIMEDOUT\n');
});

test('timeout: a raw packet seems to be sent; where only a packet is judged, a refusal is EPERM', async () => {
  for (const [word, met] of [
    ['timeout', 'silence'],
    ['eperm', 'EPERM'],
    ['refused', 'EPERM'],
  ] as const) {
    const opens = cnp('client', { egress: [{ toCIDR: ['198.51.100.0/24'], icmps: [{ fields: [{ type: 8 }] }] }] });
    await only(postern, saying(opens, word));
    assert.is(await ping('192.0.2.2', { ...client(), ...(met === 'silence' && { limitMs: SHORT }) }), met, word);
  }
});

test('from another host a denied connection is silent, whatever the policy says', async () => {
  for (const word of ['eperm', 'refused', 'timeout'] as const) {
    await only(postern, saying(cnp('server', { ingress: [{ fromEntities: ['none'] }] }), word));
    const before = arrived;
    const from = { netns: outside.path, limitMs: SHORT };
    const met = await Promise.all([askTcp('192.0.2.1', 7001, from), askUdp('192.0.2.1', 7001, from)]);
    assert.equal(met, ['silence', 'silence'], word);
    assert.is(arrived, before);
  }
});

test('the policy and the host say it', async () => {
  await only(postern, closed('timeout'));
  assert.is((await postern.api('GET', '/v1/policies/cnp/shop/client')).body.status.deny, 'timeout');
  const { body } = await postern.api('GET', '/v1/hosts/host-a');
  assert.equal(body.settings, { enablePolicy: 'default', pending: 'allow', deny: 'refused' });
  assert.is(body.mode, 'enforce');
});

test.run();
