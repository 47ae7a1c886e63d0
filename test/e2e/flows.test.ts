/** What a person sees of the traffic: each kind of event, its ends by name, filters, the live stream, losses. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { askTcp, askUdp } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { app, cnp, only, port as ports } from './policies.ts';
import { type RunOptions, run, serve } from './run-in.ts';
import { freePort, told, until } from './wait.ts';

const test = suite('flows');
const WWW_DATA = 33;
let postern: Instance;
let server: ChildProcess;
let port: number;

const unit = (name: string): RunOptions => ({ cgroup: postern.makeCgroup(`${name}.service`) });
const flows = async (query: string): Promise<any[]> =>
  (await postern.api('GET', `/v1/flows?limit=500&${query}`)).body.items;
const observe = (...words: string[]) =>
  run(['env', `POSTERN_SERVER=${postern.url}`, join(import.meta.dirname, '../../postern'), 'observe', ...words]);

test.before(
  told(async () => {
    postern = await startInstance();
    port = await freePort();
    for (const name of ['client', 'other', 'server'])
      await postern.workload(`shop/${name}`, { labels: { app: name }, match: { systemdUnit: `${name}.service` } });
    const words = [process.execPath, join(import.meta.dirname, 'echo.mjs'), `tcp:${port}`, `udp:${port}`];
    server = await serve(words, /ready/, unit('server'));
    await only(
      postern,
      cnp('server', { ingress: [{ fromEndpoints: [app('client')], toPorts: [ports(port, 'ANY')] }] }),
    );
  }),
);

test.after(async () => {
  server?.kill('SIGKILL');
  await postern?.destroy();
});

test('who follows the flows of an agent is answered before there is one', async () => {
  const ask = request({ socketPath: join(postern.runDir, 'agent.sock'), path: '/v1/flows?follow=true&last=0' }).end();
  const [response] = await once(ask, 'response');
  assert.is(response.statusCode, 200);
  ask.destroy();
});

test('a connection is connect, accept and close, each with both ends by name and the rule', async () => {
  assert.is(await askTcp('127.0.0.1', port, { ...unit('client'), uid: WWW_DATA }), 'echo');
  for (const [event, direction] of [
    ['connect', 'EGRESS'],
    ['accept', 'INGRESS'],
    ['close', 'EGRESS'],
    ['close', 'INGRESS'],
  ]) {
    const flow = await postern.flow(`event=${event}&port=${port}&direction=${direction}`, () => true);
    const what = `${event} ${direction}`;
    assert.is(flow.verdict, 'FORWARDED', what);
    assert.is(flow.protocol, 'TCP', what);
    assert.is(flow.rule, 'cnp/shop/server ingress[0]', what);
    assert.is(flow.host, 'host-a', what);
    assert.is(flow.source.workload, 'shop/client', what);
    assert.ok(flow.source.labels.includes('user:app=client'), what);
    assert.is(flow.source.host, 'host-a', what);
    assert.is(flow.source.ip, '127.0.0.1', what);
    assert.is(flow.source.process.exe, '/usr/bin/bash', what);
    assert.is(flow.source.process.user, 'www-data', what);
    assert.is(flow.source.process.unit, 'client.service', what);
    assert.type(flow.source.process.pid, 'number', what);
    assert.is(flow.destination.workload, 'shop/server', what);
    assert.ok(flow.destination.labels.includes('user:app=server'), what);
    assert.is(flow.destination.port, port, what);
    assert.is(flow.destination.process.pid, server.pid, what);
    assert.is(flow.destination.process.unit, 'server.service', what);
    assert.ok(flow.revision > 0, what);
    if (event !== 'close') continue;
    assert.equal(flow.bytes, { sent: 6, received: 6 }, what);
    assert.ok(flow.durationMs > 0, what);
  }
});

test('a datagram conversation is one exchange', async () => {
  assert.is(await askUdp('127.0.0.1', port, unit('client')), 'echo');
  const flow = await postern.flow(`event=exchange&port=${port}&direction=EGRESS`, () => true);
  assert.is(flow.protocol, 'UDP');
  assert.is(flow.source.workload, 'shop/client');
  assert.is(flow.destination.workload, 'shop/server');
  assert.is((await flows(`event=exchange&port=${port}&direction=EGRESS`)).length, 1);
});

test('a connection that nobody takes is a fail', async () => {
  const nobody = await freePort();
  assert.is(await askTcp('127.0.0.1', nobody, unit('client')), 'ECONNREFUSED');
  const flow = await postern.flow(`port=${nobody}`, () => true);
  assert.is(flow.event, 'fail');
  assert.is(flow.verdict, 'FORWARDED');
  assert.is(flow.source.workload, 'shop/client');
});

test('a denial says who, whom, why and by which rule', async () => {
  assert.is(await askTcp('127.0.0.1', port, unit('other')), 'EPERM');
  const flow = await postern.flow(`event=deny&port=${port}`, () => true);
  assert.is(flow.verdict, 'DROPPED');
  assert.is(flow.dropReason, 'POLICY_DENIED');
  assert.is(flow.rule, 'default deny of cnp/shop/server');
  assert.is(flow.source.workload, 'shop/other');
  assert.is(flow.source.process.exe, '/usr/bin/bash');
  assert.is(flow.destination.process.pid, server.pid);
});

test('a connection that was open while the policy changed closes with the rule of its own policy', async () => {
  const script = `echo $$; exec 3<>/dev/tcp/127.0.0.1/${port}; echo open; read line`;
  const held = await serve(['bash', '-c', script], /open/, unit('client'));
  await postern.apply(cnp('other', { ingress: [{}] }));
  const closed = (await flows(`event=close&port=${port}&direction=EGRESS`)).length;
  held.stdin!.end('\n');
  await until('it has closed', async () => (await flows(`event=close&port=${port}&direction=EGRESS`)).length > closed);
  for (const { rule } of await flows(`event=close&port=${port}&protocol=TCP`))
    assert.is(rule, 'cnp/shop/server ingress[0]');
});

test('each filter keeps what it says and nothing else, over REST and on the command line', async () => {
  const { body } = await postern.api('GET', '/v1/identities?limit=500');
  const { id } = body.items.find(({ labels }: { labels: string[] }) => labels.includes('user:app=other'));
  const rows: [string, string, (flow: any) => boolean][] = [
    ['workload', 'shop/other', (f) => f.source.workload === 'shop/other' || f.destination.workload === 'shop/other'],
    ['label', 'app=other', (f) => [...f.source.labels, ...f.destination.labels].includes('user:app=other')],
    ['identity', String(id), (f) => f.source.identity === id || f.destination.identity === id],
    ['verdict', 'DROPPED', (f) => f.verdict === 'DROPPED'],
    ['port', String(port), (f) => f.destination.port === port],
    ['protocol', 'UDP', (f) => f.protocol === 'UDP'],
    ['direction', 'INGRESS', (f) => f.direction === 'INGRESS'],
  ];
  const all = await flows('');
  for (const [name, value, holds] of rows) {
    const wanted = all.filter(holds);
    assert.ok(wanted.length > 0 && wanted.length < all.length, `${name}: ${wanted.length} of ${all.length}`);
    assert.equal(await flows(`${name}=${encodeURIComponent(value)}`), wanted, name);
    const { stdout, stderr } = await observe(`--${name}`, value, '--last', '500', '-o', 'json');
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.is(lines.length, wanted.length, `observe --${name}: ${stderr}`);
    assert.ok(lines.every(holds), `observe --${name}`);
  }
});

test('postern observe says a denial in one line', async () => {
  const { stdout } = await observe('--verdict', 'DROPPED');
  assert.match(stdout, /DROPPED .*shop\/other .*-> shop\/server .*default deny of cnp\/shop\/server/);
});

test('the stream shows a denial as it happens, and events that were lost, with their number', async () => {
  const abort = new AbortController();
  const lines: any[] = [];
  const response = await fetch(`${postern.url}/v1/flows?follow=true&verdict=DROPPED`, { signal: abort.signal });
  const reading = (async () => {
    let rest = '';
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + chunk).split('\n');
      rest = parts.pop()!;
      for (const part of parts) if (part !== '') lines.push(JSON.parse(part));
    }
  })().catch((error) => {
    if (!abort.signal.aborted) throw error;
  });
  try {
    assert.is(await askTcp('127.0.0.1', port, unit('other')), 'EPERM');
    await until('the stream shows the denial', () => lines.some(({ verdict }) => verdict === 'DROPPED'));
    assert.ok(lines.every(({ source }) => source.workload === 'shop/other'));

    // more denials than the ring holds, while nobody reads it
    const flood = `use Socket; my $a = sockaddr_in(${port}, INADDR_LOOPBACK); for (1..80_000) { socket(S, PF_INET, SOCK_STREAM, 0); connect(S, $a); }`;
    process.kill(postern.pid(), 'SIGSTOP');
    try {
      await run(['perl', '-e', flood], { ...unit('other'), limitMs: 60_000 });
    } finally {
      process.kill(postern.pid(), 'SIGCONT');
    }
    await until('the stream shows what was lost', () => lines.some(({ event }) => event === 'lost'));
    const live = lines.find(({ event }) => event === 'lost');
    assert.ok(live.count > 0);
    const stored = await postern.flow('event=lost', () => true);
    assert.ok(stored.count > 0 && stored.host === 'host-a', JSON.stringify(stored));
    assert.match((await observe('--event', 'lost')).stdout, /\d+ events lost/);
    const { body } = await postern.agent('/v1/status');
    assert.ok(body.counters.eventLost > 0, 'and the agent counts it');
  } finally {
    abort.abort();
    await reading;
  }
});

test.run();
