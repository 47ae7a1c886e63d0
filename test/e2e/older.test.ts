/** Sockets that are older than the agent: listeners, connections, datagram sockets; policy comes afterwards. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { detachKernel } from '../../src/datapath/kernel.ts';
import { askTcp, askUdp } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { app, cnp, only } from './policies.ts';
import { serve, start } from './run-in.ts';
import { freePort, told, until } from './wait.ts';

const test = suite('older than the agent');
let postern: Instance;
let port: number;
const children: ChildProcess[] = [];

interface Talk {
  say(text: string): void;
  said(): string;
  readonly child: ChildProcess;
}

/** A connection that is held open: lines go in, the echo comes out. */
function talk(unit: string): Talk {
  const script = `exec 3<>/dev/tcp/127.0.0.1/${port} 4<&0; cat <&4 >&3 & cat <&3`;
  const child = start(['bash', '-c', script], { cgroup: postern.makeCgroup(`${unit}.service`) });
  children.push(child);
  let output = '';
  child.stdout!.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  child.stdin!.on('error', () => {});
  return { child, say: (text) => child.stdin!.write(`${text}\n`), said: () => output };
}

let kept: Talk;
let cut: Talk;

test.before(
  told(async () => {
    postern = await startInstance();
    for (const name of ['client', 'other', 'server'])
      await postern.workload(`shop/${name}`, { labels: { app: name }, match: { systemdUnit: `${name}.service` } });
    port = await freePort();
    await postern.stop();
    // nothing of Postern is left in the kernel, so that what follows is older than all of it
    detachKernel(postern.pinDir);
    const words = [process.execPath, join(import.meta.dirname, 'echo.mjs'), `tcp:${port}`, `udp:${port}`];
    children.push(await serve(words, /ready/, { cgroup: postern.makeCgroup('server.service') }));
    kept = talk('client');
    cut = talk('other');
    for (const one of [kept, cut]) {
      one.say('old');
      await until('the old connection answers', () => one.said() === 'old\n');
    }
    await postern.start();
  }),
);

test.after(async () => {
  for (const child of children) child.kill('SIGKILL');
  await postern?.destroy();
});

test('old sockets belong to their workloads without a policy, and nothing of theirs breaks', async () => {
  for (const one of [kept, cut]) {
    one.say('still');
    await until('the old connection answers', () => one.said().endsWith('still\n'));
  }
  await until('the endpoint of the old listener is reported', async () => {
    const { body } = await postern.api('GET', '/v1/endpoints');
    const server = body.items.find(({ workload }: { workload: string }) => workload === 'shop/server');
    return server?.listening.some((one: { port: number }) => one.port === port) ?? false;
  });
});

test('a policy on an old listener revokes the connection that it denies and keeps the other', async () => {
  await only(postern, cnp('server', { ingress: [{ fromEndpoints: [app('client')] }] }));
  await until('the denied connection has ended', () => cut.child.exitCode !== null);
  kept.say('later');
  await until('the allowed connection answers', () => kept.said().endsWith('later\n'));
  const flow = await postern.flow(`verdict=DROPPED&port=${port}`, (one) => /revoked/.test(one.detail));
  assert.is(flow.source.workload, 'shop/other');
  assert.is(flow.destination.workload, 'shop/server');
  assert.is(flow.rule, 'default deny of cnp/shop/server');
});

test('an old listener and an old datagram socket admit whom the policy admits', async () => {
  const client = { cgroup: postern.makeCgroup('client.service') };
  const other = { cgroup: postern.makeCgroup('other.service') };
  for (const address of ['127.0.0.1', '::1']) {
    assert.is(await askTcp(address, port, client), 'echo');
    assert.is(await askTcp(address, port, other), 'EPERM');
    for (const connected of [false, true]) {
      assert.is(await askUdp(address, port, { ...client, connected }), 'echo');
      assert.is(await askUdp(address, port, { ...other, connected }), 'EPERM');
    }
  }
});

test('an egress policy revokes an old connection of the client', async () => {
  await only(postern, cnp('client', { egress: [{ toEndpoints: [app('nobody')] }] }));
  await until('the connection has ended', () => kept.child.exitCode !== null);
  const flow = await postern.flow(`verdict=DROPPED&port=${port}&direction=EGRESS`, (one) => /revoked/.test(one.detail));
  assert.is(flow.source.workload, 'shop/client');
});

test.run();
