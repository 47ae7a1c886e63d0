/** A label of the host as part of who runs there: policy by it holds, and by another value of it does not. */
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { askTcp } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { cnp, only, port } from './policies.ts';
import { serve } from './run-in.ts';
import { freePort, told, until } from './wait.ts';

const test = suite('labelsFrom');
let postern: Instance;
let echoPort: number;

const ask = (cgroup: string) => askTcp('127.0.0.1', echoPort, { cgroup: postern.makeCgroup(cgroup) });
const from = (matchLabels: Record<string, string>) =>
  cnp('echo', { ingress: [{ fromEndpoints: [{ matchLabels }], toPorts: [port(echoPort)] }] });
const client = (more: object) => ({
  labels: { app: 'client' },
  match: { cgroup: `${postern.cgroupPath}/client` },
  ...more,
});
const withSite = async () =>
  (await postern.api('GET', '/v1/identities')).body.items.find(
    ({ labels }: { labels: string[] }) => labels.includes('host:site=fra') && labels.includes('user:app=client'),
  );

test.before(
  told(async () => {
    postern = await startInstance();
    echoPort = await freePort();
    await postern.workload('shop/echo', {
      labels: { app: 'echo' },
      match: { cgroup: `${postern.cgroupPath}/echo` },
    });
    await postern.workload('shop/client', client({ labelsFrom: ['host:site'] }));
    const words = [process.execPath, join(import.meta.dirname, 'echo.mjs'), `tcp:${echoPort}`];
    await serve(words, /ready/, { cgroup: postern.makeCgroup('echo') });
    await until('the host has reported and the identity is there', async () => (await withSite()) !== undefined);
    await postern.settled();
  }),
);
test.after(async () => {
  await postern?.destroy();
});

test('a policy by the site of the host allows it, with and without the source; by another site it does not', async () => {
  for (const [labels, met] of [
    [{ 'host:site': 'fra' }, 'echo'],
    [{ 'host:site': 'ber' }, 'EPERM'],
    [{ site: 'fra', app: 'client' }, 'echo'],
    [{ 'k8s:site': 'fra' }, 'EPERM'],
    [{ app: 'client' }, 'echo'],
  ] as const) {
    await only(postern, from(labels));
    assert.is(await ask('client'), met, JSON.stringify(labels));
  }
});

test('it holds over a restart of all, with the same number', async () => {
  await only(postern, from({ 'host:site': 'fra' }));
  const before = await withSite();
  await postern.stop('SIGKILL');
  await postern.start();
  assert.is(await ask('client'), 'echo');
  assert.equal((await withSite()).id, before.id);
});

test('a registration that names it no more has its own identity again', async () => {
  await postern.workload('shop/client', client({}));
  assert.is(await ask('client'), 'EPERM');
});

test.run();
