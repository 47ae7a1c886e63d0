/** Registrations for some hosts only, and what this one says of itself. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from './instance.ts';
import { serve, start } from './run-in.ts';
import { freePort, told, until } from './wait.ts';

const test = suite('hosts of a workload');
let postern: Instance;
let sleeping: ChildProcess | undefined;

test.before(
  told(async () => {
    postern = await startInstance();
  }),
);
test.after(async () => {
  sleeping?.kill('SIGKILL');
  await postern?.destroy();
});

test('a host shows its labels', async () => {
  await until('the host shows its labels', async () => {
    const { body } = await postern.api('GET', '/v1/hosts/host-a');
    return JSON.stringify(body.status?.labels) === '{"site":"fra","tier":"db"}';
  });
});

test('what the host knows of a process stands on its endpoint and its flows, and is found by it', async () => {
  const { port, child } = await listen();
  await postern.workload('shop/client', { labels: { app: 'client' }, match: { systemdUnit: 'client.service' } });
  const cgroup = postern.makeCgroup('erp.slice/client.service');
  sleeping = child;
  const talk = `exec 3<>/dev/tcp/127.0.0.1/${port}; read line`;
  const client = start(['bash', '-c', talk], { cgroup });
  const wanted = ['host:site=fra', 'process:exe=/usr/bin/bash', 'process:package=bash', 'process:user=root'];
  const units = ['systemd:slice=erp.slice', 'systemd:unit=client.service'];
  await until('the endpoint has its derived labels, package too', async () => {
    const { body } = await postern.api('GET', '/v1/endpoints?workload=shop/client');
    const derived: string[] = body.items[0]?.derived ?? [];
    return [...wanted, ...units].every((label) => derived.includes(label));
  });
  const flow = await postern.flow(`label=systemd:unit=client.service&port=${port}`, () => true);
  for (const label of units) assert.ok(flow.source.derived.includes(label), label);
  assert.ok(!flow.source.labels.some((label: string) => label.startsWith('systemd:')), 'not in the identity');
  client.kill('SIGKILL');
});

async function listen(): Promise<{ port: number; child: ChildProcess }> {
  const port = await freePort();
  const words = [process.execPath, join(import.meta.dirname, 'echo.mjs'), `tcp:${port}`];
  return { port, child: await serve(words, /ready/, { cgroup: postern.makeCgroup('echo') }) };
}

test('a registration for other hosts names nobody here, one for this host does', async () => {
  const match = { systemdUnit: 'worker.service' };
  const elsewhere = { matchExpressions: [{ key: 'site', operator: 'NotIn', values: ['fra'] }] };
  await postern.workload('shop/elsewhere', { labels: { app: 'elsewhere' }, match, hosts: elsewhere });
  await postern.workload('shop/here', { labels: { app: 'here' }, match, hosts: { matchLabels: { site: 'fra' } } });
  const cgroup = postern.makeCgroup('worker.service');
  sleeping = start(['sleep', '600'], { cgroup });
  await until('the process is shop/here', async () => {
    const { body } = await postern.api('GET', '/v1/endpoints');
    return body.items.some(({ workload }: { workload: string }) => workload === 'shop/here');
  });
  const { body } = await postern.api('GET', '/v1/endpoints');
  assert.not.ok(body.items.some(({ workload }: { workload: string }) => workload === 'shop/elsewhere'));
  await postern.workload('shop/here', { labels: { app: 'here' }, match, hosts: { matchLabels: { site: 'ber' } } });
  await until('nobody is shop/here', async () => {
    const { body: now } = await postern.api('GET', '/v1/endpoints');
    return now.items.length === 0;
  });
});

test.run();
