/** Identities of `labelsFrom`: given out when a host reports the values, taken back when none does any more. */
import { rmSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SETS_PER_WORKLOAD } from '../../src/core/derived-identity.ts';
import { until } from '../e2e/wait.ts';
import { call, startTestServer, type TestServer, temporaryDir } from './harness.ts';

const test = suite('labelsFrom on the server');
const dir = temporaryDir();
let server: TestServer;

test.before(async () => {
  server = await startTestServer({ dir, unreportedMs: 400 });
});
test.after(async () => {
  await server?.close();
  rmSync(dir, { recursive: true, force: true });
});

async function report(host: string, values: readonly object[], more: object = {}): Promise<void> {
  const body = {
    ...{ state: 'ready', appliedRevision: 0, degraded: [], agentVersion: '0', kernel: '6', features: {} },
    ...{ addresses: [], maps: [], counters: {}, endpoints: [], discover: [], derived: ['host:site=fra'] },
    ...{ values, ...more },
  };
  const { status, text } = await call(server, 'PUT', `/v1/agent/hosts/${host}/report`, { body });
  assert.is(status, 204, text);
}

const put = (name: string, labelsFrom: readonly string[]) =>
  call(server, 'PUT', `/v1/workloads/shop/${name}`, {
    body: { labels: { app: name }, match: { systemdUnit: `${name}@*.service` }, labelsFrom },
  });

/** Units of the identities that a workload has now. */
async function unitsOf(name: string): Promise<string[]> {
  const { body } = await call(server, 'GET', '/v1/identities?limit=500');
  const own = body.items.filter(({ workloads }: { workloads: string[] }) => workloads.includes(`shop/${name}`));
  return own
    .flatMap(({ labels }: { labels: string[] }) => labels.filter((label) => label.startsWith('systemd:unit=')))
    .sort();
}

const unit = (name: string) => [`systemd:unit=${name}`];

test('each set of values that a host reports is an identity, with what the host adds; a name that is not asked adds nothing', async () => {
  await put('a', ['systemd:unit', 'host:site']);
  await report('web-1', [{ workload: 'shop/a', sets: [unit('a_1'), [...unit('a_2'), 'process:exe=x']], left: 0 }]);
  await until('both are there', async () => (await unitsOf('a')).length === 2);
  assert.equal(await unitsOf('a'), [...unit('a_1'), ...unit('a_2')]);
  const { body } = await call(server, 'GET', '/v1/identities?limit=500');
  const two = body.items.find(({ labels }: { labels: string[] }) => labels.includes('systemd:unit=a_2'));
  assert.ok(two.labels.includes('host:site=fra') && !two.labels.includes('process:exe=x'), String(two.labels));
  const status = (await call(server, 'GET', '/v1/workloads/shop/a')).body.status;
  assert.equal(status.values, { sets: 2 });
});

test('what no host reports any more goes after a while, and has the same number when it comes back', async () => {
  const before = (await call(server, 'GET', '/v1/identities?limit=500')).body.items.find(
    ({ labels }: { labels: string[] }) => labels.includes('systemd:unit=a_1'),
  );
  await report('web-1', [{ workload: 'shop/a', sets: [unit('a_2')], left: 0 }]);
  await until('it has gone', async () => (await unitsOf('a')).length === 1);
  assert.equal(await unitsOf('a'), unit('a_2'));
  await report('web-2', [{ workload: 'shop/a', sets: [unit('a_1')], left: 0 }]);
  await until('it is back', async () => (await unitsOf('a')).length === 2);
  const after = (await call(server, 'GET', '/v1/identities?limit=500')).body.items.find(
    ({ labels }: { labels: string[] }) => labels.includes('systemd:unit=a_1'),
  );
  assert.is(after.id, before.id);
});

test('a restart of the server keeps them: the last reports of the hosts are on disk', async () => {
  await server.close();
  server = await startTestServer({ dir, unreportedMs: 400 });
  assert.equal(await unitsOf('a'), [...unit('a_1'), ...unit('a_2')]);
});

test('more sets on all hosts than fit keep the identity of the registration, and status says so', async () => {
  await put('b', ['systemd:unit']);
  const hosts = Math.ceil((SETS_PER_WORKLOAD + 4) / 32);
  for (let host = 0; host < hosts; host++) {
    const sets = Array.from({ length: 32 }, (_, i) => unit(`b_${host}_${i}`));
    await report(`db-${host}`, [{ workload: 'shop/b', sets, left: host === 0 ? 3 : 0 }]);
  }
  await until('as many as fit are there', async () => (await unitsOf('b')).length === SETS_PER_WORKLOAD);
  const first = await unitsOf('b');
  await report('db-0', [{ workload: 'shop/b', sets: [unit('b_0_0')], left: 0 }]);
  await until('another one has the room of one that went', async () => {
    const now = await unitsOf('b');
    return now.length === SETS_PER_WORKLOAD && now.some((one) => !first.includes(one));
  });
  const { status } = (await call(server, 'GET', '/v1/workloads/shop/b')).body;
  assert.is(status.values.sets, (hosts - 1) * 32 + 1);
});

test('a registration that asks no more has one identity again', async () => {
  await call(server, 'PUT', '/v1/workloads/shop/a', {
    body: { labels: { app: 'a' }, match: { systemdUnit: 'a@*.service' } },
  });
  assert.equal(await unitsOf('a'), []);
});

test.run();
