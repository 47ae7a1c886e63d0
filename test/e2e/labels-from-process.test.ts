// @timeout 90
/** What a process runs as, and where, as part of who it is: policy by one value holds, and by another does not. */
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { askTcp } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { cnp, only, port } from './policies.ts';
import { serve, start } from './run-in.ts';
import { freePort, told, until } from './wait.ts';

const test = suite('labelsFrom of processes');
let postern: Instance;
let echoPort: number;
const running: ChildProcess[] = [];

interface Identity {
  readonly id: number;
  readonly labels: string[];
  readonly workloads: readonly string[];
}

const unit = (name: string) => postern.makeCgroup(`system.slice/${name}`);
const from = (matchLabels: Record<string, string>) =>
  cnp('echo', { ingress: [{ fromEndpoints: [{ matchLabels }], toPorts: [port(echoPort)] }] });
const identities = async (): Promise<Identity[]> => (await postern.api('GET', '/v1/identities')).body.items;
const withLabel = async (label: string): Promise<Identity | undefined> =>
  (await identities()).find(({ labels, workloads }) => labels.includes(label) && workloads.length > 0);
const endpointIn = async (cgroup: string, workload: string) =>
  (await postern.agent('/v1/endpoints')).body.items.find(
    (one: { cgroup: string; workload: string }) => one.workload === workload && one.cgroup.endsWith(cgroup),
  );

/** A process of the workload in that unit, and its identity in force. */
async function named(name: string, label: string): Promise<number> {
  running.push(start(['sleep', '600'], { cgroup: unit(name) }));
  let found: { identity: number; labels: string[]; state: string } | undefined;
  await until(`who is in ${name} has ${label}`, async () => {
    found = await endpointIn(`/${name}`, 'shop/tomcat');
    return found?.labels.includes(label) ?? false;
  });
  assert.is(found!.state, 'ok');
  return found!.identity;
}

test.before(
  told(async () => {
    postern = await startInstance({ mode: 'split' });
    echoPort = await freePort();
    await postern.workload('shop/echo', { labels: { app: 'echo' }, match: { cgroup: `${postern.cgroupPath}/echo` } });
    await postern.workload('shop/tomcat', {
      labels: { app: 'tomcat' },
      match: { systemdUnit: 'tomcat@*.service' },
      labelsFrom: ['systemd:unit', 'systemd:slice', 'host:site'],
    });
    await postern.workload('shop/job', {
      labels: { app: 'job' },
      match: { cgroup: `${postern.cgroupPath}/jobs`, process: { user: '0', exe: '/usr/bin/bash' } },
      labelsFrom: ['process:exe', 'process:package'],
    });
    const words = [process.execPath, join(import.meta.dirname, 'echo.mjs'), `tcp:${echoPort}`];
    await serve(words, /ready/, { cgroup: postern.makeCgroup('echo') });
  }),
);
test.after(async () => {
  for (const child of running) child.kill('SIGKILL');
  await postern?.destroy();
});

test('each unit of a pattern has an identity of its own, and policy tells them apart from the first packet', async () => {
  const a = await named('tomcat@a.service', 'systemd:unit=tomcat_a.service');
  const b = await named('tomcat@b.service', 'systemd:unit=tomcat_b.service');
  assert.is.not(a, b);
  const { labels } = (await withLabel('systemd:unit=tomcat_a.service'))!;
  for (const label of ['systemd:slice=system.slice', 'host:site=fra', 'user:app=tomcat'])
    assert.ok(labels.includes(label), `${label} in ${labels}`);
  for (const [selector, mets] of [
    [{ 'systemd:unit': 'tomcat_a.service' }, ['echo', 'EPERM']],
    [{ app: 'tomcat', unit: 'tomcat_b.service' }, ['EPERM', 'echo']],
    [{ app: 'tomcat', 'host:site': 'fra' }, ['echo', 'echo']],
  ] as const) {
    await only(postern, from(selector));
    for (const [i, name] of ['tomcat@a.service', 'tomcat@b.service'].entries())
      assert.is(await askTcp('127.0.0.1', echoPort, { cgroup: unit(name) }), mets[i], JSON.stringify(selector));
  }
  const flow = await postern.flow(`event=connect&port=${echoPort}&last=1`, () => true);
  assert.is(flow.source.workload, 'shop/tomcat');
});

test('the program that gained the label, and its package, by a name that a selector can have', async () => {
  running.push(start(['bash', '-c', 'sleep 600; true'], { cgroup: postern.makeCgroup('jobs') }));
  await until('the identity of bash is there', async () => (await withLabel('process:exe=usr.bin.bash')) !== undefined);
  const { labels } = (await withLabel('process:exe=usr.bin.bash'))!;
  assert.ok(labels.includes('process:package=bash'), String(labels));
  await only(postern, from({ 'process:package': 'bash' }));
  assert.is(await askTcp('127.0.0.1', echoPort, { cgroup: postern.makeCgroup('jobs') }), 'echo');
  await only(postern, from({ 'process:exe': 'usr.bin.dash' }));
  assert.is(await askTcp('127.0.0.1', echoPort, { cgroup: postern.makeCgroup('jobs') }), 'EPERM');
});

test('while the server is away the agent starts with the same identities, also of who is not there yet', async () => {
  await only(postern, from({ 'systemd:unit': 'tomcat_a.service' }));
  const b = await withLabel('systemd:unit=tomcat_b.service');
  const { revision } = (await postern.api('GET', '/v1/workloads?limit=1')).body;
  const onDisk = (file: string) => JSON.parse(readFileSync(join(postern.stateDir, file), 'utf8'));
  await until('all of it is on disk', () => onDisk('agent-state.json').revision >= revision);
  await postern.stop('SIGKILL');
  assert.ok(
    onDisk('derived-values.json').some(({ labels }: Identity) => labels.includes('systemd:slice=system.slice')),
  );
  const socket = join(postern.runDir, 'server.sock');
  renameSync(socket, `${socket}.away`); // nobody answers there
  try {
    await postern.start();
    for (const [name, met] of [
      ['tomcat@a.service', 'echo'],
      ['tomcat@b.service', 'EPERM'],
    ] as const)
      assert.is(await askTcp('127.0.0.1', echoPort, { cgroup: unit(name) }), met, name);
    const { identity } = await endpointIn('/tomcat@b.service', 'shop/tomcat');
    assert.is(identity, b!.id);
  } finally {
    renameSync(`${socket}.away`, socket);
  }
});

test('more sets than there is room for keep the identity of the registration, and status says so', async () => {
  for (let i = 0; i < 34; i++) running.push(start(['sleep', '600'], { cgroup: unit(`tomcat@n${i}.service`) }));
  let status: { hint?: string; values?: unknown } = {};
  await until('status says that there are too many', async () => {
    status = (await postern.api('GET', '/v1/workloads/shop/tomcat')).body.status;
    return status.values !== undefined && /too many values/.test(status.hint ?? '');
  });
  assert.equal(status.values, { sets: 32, tooMany: [{ host: 'host-a', left: 4 }] });
  assert.match(status.hint!, /^too many values of labelsFrom on host-a: 4 sets beyond the 32 that fit; /);
});

test('a registration from a file of the host has them too', async () => {
  const file = join(postern.workloadsDir, 'batch.yaml');
  mkdirSync(postern.workloadsDir, { recursive: true });
  writeFileSync(
    file,
    'apiVersion: postern.dev/v1\nkind: Workload\nmetadata: {namespace: shop, name: batch}\nspec:\n  labels: {app: batch}\n  match: {systemdUnit: "batch-*.service"}\n  labelsFrom: [systemd:unit]\n',
  );
  running.push(start(['sleep', '600'], { cgroup: unit('batch-1.service') }));
  await until('it has its identity', async () => {
    const found = await endpointIn('/batch-1.service', 'shop/batch');
    return found?.labels.includes('systemd:unit=batch-1.service') ?? false;
  });
  rmSync(file);
});

test.run();
