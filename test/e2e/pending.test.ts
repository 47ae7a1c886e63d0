// @timeout 90
/** Processes of which only user space can tell who they are, from their start until it has. The agent is stopped meanwhile. */
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { askTcp } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { app, cnp, only } from './policies.ts';
import { serve, start } from './run-in.ts';
import { freePort, told, until } from './wait.ts';

const test = suite('pending');
const children: ChildProcess[] = [];
const instances: Instance[] = [];
let server: Server;
let hostPort = 0;

interface Holder {
  readonly child: ChildProcess;
  readonly said: () => string;
}

/** Holds a connection, says `open`, then echoes what it is told through it; `closed` when that ends. */
function hold(postern: Instance, tag: string, port: number, before = ''): Holder {
  const body = `: ${tag}; ${before} exec 3<>/dev/tcp/127.0.0.1/${port} || exit 1; echo open; cat <&3 & cat >&3; wait; echo closed`;
  const child = start(['bash', '-c', body], { cgroup: postern.makeCgroup('plain') });
  children.push(child);
  let said = '';
  for (const stream of [child.stdout!, child.stderr!])
    stream.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
  return { child, said: () => said };
}

function isProgram(pid: number, name: string): boolean {
  return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === name;
}

/** Workloads that a process is. */
async function namesOf(postern: Instance, pid: number): Promise<string[]> {
  const { body } = await postern.agent('/v1/endpoints');
  return body.items.flatMap((endpoint: { workload: string; processes: { pid: number }[] }) =>
    endpoint.processes.some((process) => process.pid === pid) ? [endpoint.workload] : [],
  );
}

async function withStoppedAgent(postern: Instance, act: () => Promise<void>): Promise<void> {
  process.kill(postern.pid(), 'SIGSTOP');
  try {
    await act();
  } finally {
    process.kill(postern.pid(), 'SIGCONT');
  }
}

async function openInstance(env: Record<string, string> = {}): Promise<Instance> {
  const postern = await startInstance({ env });
  instances.push(postern);
  const match = (tag: string) => ({ process: { exe: '/usr/bin/bash', user: '0', argsRegex: `TAG-${tag}` } });
  await postern.workload('shop/wanted', { labels: { app: 'wanted' }, match: match('wanted') });
  await postern.workload('shop/other', { labels: { app: 'other' }, match: match('other') });
  await postern.workload('shop/backend', { labels: { app: 'backend' }, match: { systemdUnit: 'backend.service' } });
  return postern;
}

test.before(
  told(async () => {
    server = createServer((socket) => socket.pipe(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    hostPort = (server.address() as { port: number }).port;
  }),
);
test.after(async () => {
  for (const child of children) child.kill('SIGKILL');
  server?.close();
  for (const instance of instances) await instance.destroy();
});

test('who is pending may talk; when it is known, what it has no right to ends, and the flow says provisional', async () => {
  const postern = await openInstance();
  const port = await freePort();
  const echo = join(import.meta.dirname, 'echo.mjs');
  children.push(
    await serve([process.execPath, echo, `tcp:${port}`], /ready/, { cgroup: postern.makeCgroup('backend.service') }),
  );
  await only(postern, cnp('backend', { ingress: [{ fromEndpoints: [app('wanted')] }] }));
  let wanted!: Holder;
  let other!: Holder;
  let nobody!: Holder;
  await withStoppedAgent(postern, async () => {
    wanted = hold(postern, 'TAG-wanted', port);
    other = hold(postern, 'TAG-other', port);
    nobody = hold(postern, 'TAG-nobody', port);
    for (const holder of [wanted, other, nobody]) await until('it is connected', () => holder.said().includes('open'));
  });
  for (const holder of [other, nobody])
    await until('the connection without a right is ended', () => holder.said() !== 'open\n');
  wanted.child.stdin!.write('still here\n');
  await until('the one with a right goes on', () => wanted.said().includes('still here'));
  const flow = await postern.flow(
    'last=200',
    (flow) => flow.provisional && flow.destination?.workload === 'shop/backend',
  );
  assert.is(flow.source.identity, 5);
  assert.is(flow.rule, 'provisional: it is not decided yet who this is');
  const { body } = await postern.agent('/v1/endpoints');
  const endpoint = body.items.find(({ workload }: { workload: string }) => workload === 'shop/wanted');
  assert.equal([endpoint.why.grade, endpoint.why.origin, endpoint.state], ['late', 'exec', 'ok']);
});

test('a child that a pending process makes inherits what that one turns out to be', async () => {
  const postern = instances[0]!;
  let parent!: Holder;
  await withStoppedAgent(postern, async () => {
    parent = hold(postern, 'TAG-other family', hostPort, 'sleep 611 & echo child $!;');
    await until('both run', () => parent.said().includes('open'));
  });
  const child = Number(/child (\d+)/.exec(parent.said())![1]);
  let found: { workload: string; processes: { pid: number }[] } | undefined;
  await until('the child has a name', async () => {
    const { body } = await postern.agent('/v1/endpoints');
    found = body.items.find(({ processes }: { processes: { pid: number }[] }) =>
      processes.some(({ pid }) => pid === child),
    );
    return found !== undefined;
  });
  assert.is(found!.workload, 'shop/other');
  assert.ok(found!.processes.some(({ pid }) => pid === parent.child.pid));
  process.kill(child, 'SIGKILL');
});

test('a port names the listener of who is pending, with its first connection', async () => {
  const postern = instances[0]!;
  const port = await freePort();
  await postern.workload('shop/port', { labels: { app: 'port' }, match: { listen: [`${port}/tcp`] } });
  await postern.workload('shop/perl', {
    labels: { app: 'perl' },
    match: { process: { exe: '/usr/bin/perl', user: '0', argsRegex: 'TAG-never' } },
  });
  const listen = `use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1:${port}", Listen => 5) or die; print "ready\n"; $| = 1; while (my $c = $s->accept) { print $c "hello\n"; close $c }`;
  await withStoppedAgent(postern, async () => {
    children.push(await serve(['perl', '-e', `$| = 1; ${listen}`], /ready/, { cgroup: postern.makeCgroup('plain') }));
    assert.is(await askTcp('127.0.0.1', port, { cgroup: postern.makeCgroup('plain') }), 'echo');
  });
  const flow = await postern.flow(`event=connect&port=${port}`, () => true);
  assert.is(flow.destination.workload, 'shop/port');
  for (const name of ['port', 'perl']) await postern.api('DELETE', `/v1/workloads/shop/${name}`);
});

test('a process that starts while no agent runs is decided when there is one again', async () => {
  const postern = instances[0]!;
  await postern.stop('SIGKILL');
  const started = hold(postern, 'TAG-other alone', hostPort);
  await until('it is connected', () => started.said().includes('open'));
  await postern.start();
  await until('it has its name', async () => {
    return (await namesOf(postern, started.child.pid!)).length > 0;
  });
});

test('one that becomes another program before it is decided is that one', async () => {
  const postern = instances[0]!;
  const child = start(['bash', '-c', ': TAG-other; read line; exec sleep 655'], {
    cgroup: postern.makeCgroup('plain'),
  });
  children.push(child);
  let again!: ChildProcess;
  await withStoppedAgent(postern, async () => {
    again = start(['bash', '-c', ': TAG-other; exec sleep 656'], { cgroup: postern.makeCgroup('plain') });
    children.push(again);
    await until('it is another program', () => isProgram(again.pid!, 'sleep'));
  });
  await until('the first is decided', async () => (await namesOf(postern, child.pid!)).length > 0);
  child.stdin!.write('\n');
  await until('it is another program, too', () => isProgram(child.pid!, 'sleep'));
  assert.equal(await namesOf(postern, child.pid!), ['shop/other']);
  assert.equal(await namesOf(postern, again.pid!), []);
});

test('with --pending deny who is pending may nothing that policy does not grant it, and everybody else goes on', async () => {
  const postern = await openInstance({ POSTERN_PENDING: 'deny' });
  await withStoppedAgent(postern, async () => {
    const refused = hold(postern, 'TAG-wanted', hostPort);
    await until('it is refused', () => refused.said().includes('not permitted'));
    assert.is(await askTcp('127.0.0.1', hostPort, { cgroup: postern.makeCgroup('plain'), uid: 12_345 }), 'echo');
  });
  const patient = hold(postern, 'TAG-wanted', hostPort, `until (: </dev/tcp/127.0.0.1/${hostPort}); do :; done 2>&1;`);
  await until('once it is known it may', () => patient.said().includes('open'));
});

test.run();
