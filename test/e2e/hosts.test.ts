/** Registrations for some hosts only, and what this one says of itself. */
import type { ChildProcess } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from './instance.ts';
import { start } from './run-in.ts';
import { told, until } from './wait.ts';

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
