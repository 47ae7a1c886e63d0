/** Registrations from a file on the host: named by the control plane, enforced like any other, shown as what they are. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { askTcp } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { app, cnp, port } from './policies.ts';
import { serve } from './run-in.ts';
import { freePort, told, until } from './wait.ts';

const test = suite('workloads from files');
let postern: Instance;
let file: string;
let echoPort: number;

const workload = (name: string, cgroup: string) => ({
  apiVersion: 'postern.dev/v1',
  kind: 'Workload',
  metadata: { namespace: 'shop', name },
  spec: { labels: { app: name }, match: { cgroup: `${postern.cgroupPath}/${cgroup}` } },
});
const write = (...documents: unknown[]) =>
  writeFileSync(file, documents.map((document) => JSON.stringify(document)).join('\n---\n'));

// biome-ignore lint/suspicious/noExplicitAny: an answer's body
async function shown(name: string, wanted: (workload: any) => boolean): Promise<any> {
  // biome-ignore lint/suspicious/noExplicitAny: an answer's body
  let found: any;
  await until(`workload ${name} ${wanted}`, async () => {
    found = (await postern.api('GET', `/v1/workloads/shop/${name}`)).body;
    return found.status !== undefined && wanted(found);
  });
  return found;
}

test.before(
  told(async () => {
    postern = await startInstance();
    mkdirSync(postern.workloadsDir);
    file = join(postern.workloadsDir, 'shop.yaml');
    echoPort = await freePort();
    write(workload('echo', 'echo'), workload('client', 'client'));
    const echo = join(import.meta.dirname, 'echo.mjs');
    await serve([process.execPath, echo, `tcp:${echoPort}`], /ready/, { cgroup: postern.makeCgroup('echo') });
    await postern.apply(cnp('echo', { ingress: [{ fromEndpoints: [app('client')], toPorts: [port(echoPort)] }] }));
  }),
);
test.after(async () => {
  await postern?.destroy();
});

const ask = (cgroup: string) => askTcp('127.0.0.1', echoPort, { cgroup: postern.makeCgroup(cgroup) });

test('a file gives names and policy binds them; the list says where they come from', async () => {
  const { status } = await shown('echo', ({ status }) => status.endpoints === 1);
  assert.equal([status.source, status.host, status.file], ['file', 'host-a', file]);
  assert.equal([await ask('client'), await ask('stranger')], ['echo', 'EPERM']);
  const { body } = await postern.api('GET', '/v1/workloads?namespace=shop');
  assert.equal(
    body.items.map(({ name, status }: { name: string; status: { source: string } }) => [name, status.source]),
    [
      ['client', 'file'],
      ['echo', 'file'],
    ],
  );
});

test('it holds over a restart of all', async () => {
  await postern.stop('SIGKILL');
  await postern.start();
  assert.equal([await ask('client'), await ask('stranger')], ['echo', 'EPERM']);
  await shown('echo', ({ status }) => status.source === 'file');
});

test('a bad file is said in the host’s status by file, line and field, and what it said before holds', async () => {
  writeFileSync(file, JSON.stringify(workload('echo', 'echo')).replace('"cgroup"', '"cgruop"'));
  let files: { file: string; problems: string[] }[] = [];
  await until('the report names the problem', async () => {
    files = (await postern.api('GET', '/v1/hosts/host-a')).body.status.files;
    return files[0]?.problems.length === 1;
  });
  assert.match(
    files[0]!.problems[0]!,
    /^line 1:\d+ \/spec\/match\/cgruop: unknown field "cgruop", did you mean "cgroup"/,
  );
  assert.equal([await ask('client'), await ask('stranger')], ['echo', 'EPERM']);
  write(workload('echo', 'echo'), workload('client', 'client'));
});

test('the control plane’s own registration of a name counts, and the file’s says so', async () => {
  await postern.workload('shop/client', { labels: { app: 'client' }, match: { cgroup: `${postern.cgroupPath}/vip` } });
  assert.equal([await ask('vip'), await ask('client')], ['echo', 'EPERM']);
  const own = await postern.api('GET', '/v1/workloads/shop/client');
  assert.is(own.body.status.source, undefined);
  const { body } = await postern.api('GET', '/v1/workloads/shop/client@host-a');
  assert.equal([body.status.source, body.status.conflicts], ['file', ['shop/client of the control plane']]);
  await postern.api('DELETE', '/v1/workloads/shop/client');
  await until('the file counts again', async () => (await ask('client')) === 'echo');
});

test('it is deleted where it is written', async () => {
  const refused = await postern.api('DELETE', '/v1/workloads/shop/client');
  assert.equal([refused.status, refused.body.code], [409, 'conflict']);
  assert.match(refused.body.detail, new RegExp(`${file} of host host-a registers it`));
  rmSync(file);
  await until('nothing is registered', async () => (await postern.api('GET', '/v1/workloads')).body.items.length === 0);
  await until('nobody is bound', async () => (await ask('stranger')) === 'echo');
});

test.run();
