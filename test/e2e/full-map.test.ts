// @timeout 180
/** A map of the kernel that is full, whatever filled it: nothing changes, the host says which one, and it heals. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { BpfMap } from 'libbpf-ts';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { mapCodecs } from '../../src/datapath/maps.ts';
import { NO_PORT } from '../../src/datapath/port-tables.ts';
import type { L3Key, L3Val } from '../../src/datapath/postern.skel.ts';
import { askTcp } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { app, cnp, only, port } from './policies.ts';
import { serve } from './run-in.ts';
import { told, until } from './wait.ts';

const test = suite('full maps');
let postern: Instance;
let server: ChildProcess;

test.before(
  told(async () => {
    postern = await startInstance();
    for (const name of ['client', 'other', 'server'])
      await postern.workload(`shop/${name}`, { labels: { app: name }, match: { systemdUnit: `${name}.service` } });
    const words = [process.execPath, join(import.meta.dirname, 'echo.mjs'), 'tcp:7041'];
    server = await serve(words, /ready/, { cgroup: postern.makeCgroup('server.service') });
  }),
);

test.after(async () => {
  server?.kill('SIGKILL');
  await postern?.destroy();
});

const ask = (unit: string) => askTcp('127.0.0.1', 7041, { cgroup: postern.makeCgroup(`${unit}.service`) });
const host = async () => (await postern.api('GET', '/v1/hosts/host-a')).body.status;

for (const [name, change] of Object.entries({
  policy_l3: { ingress: [{ fromEndpoints: [app('other')] }] },
  policy_l4: { ingress: [{ fromEndpoints: [app('other')], toPorts: [port(7041)] }] },
  ip_host: { ingress: [{ fromEndpoints: [app('other')] }, { fromCIDR: ['192.0.2.7/32'] }] },
  ip_cidr: { ingress: [{ fromEndpoints: [app('other')] }, { fromCIDR: ['192.0.2.0/24'] }] },
}))
  test(`${name} is full: the policy before stays whole, the host names the map, and the next change is applied`, async () => {
    await only(postern, cnp('server', { ingress: [{ fromEndpoints: [app('client')] }] }));
    const { body: was } = await postern.agent('/v1/policy');
    const filler = fill(name);
    try {
      const { status } = await postern.api('PUT', '/v1/policies/cnp/shop/server', cnp('server', change));
      assert.is(status, 200);
      await until('the host says so', async () => (await host()).state === 'degraded');
      const { degraded, appliedRevision } = await host();
      assert.match(
        degraded.join(),
        new RegExp(`revision \\d+ not applied: .*${name}.*, keeping revision ${was.revision}`),
      );
      assert.is(appliedRevision, was.revision);
      assert.is(await ask('client'), 'echo');
      assert.is(await ask('other'), 'EPERM');
    } finally {
      filler.remove();
    }
    await postern.apply(cnp('client', { ingress: [{}] }));
    assert.is(await ask('client'), 'EPERM');
    assert.is(await ask('other'), 'echo');
    await until('the host is well again', async () => (await host()).state === 'ready');
  });

test('local is full: the host says so, and policy holds for who listens', async () => {
  await only(postern, cnp('server', { ingress: [{ fromEndpoints: [app('client')] }] }));
  const filler = fill('local');
  try {
    await until('the host says so', async () => (await host()).degraded?.join().includes('map local is full'));
    assert.is(await ask('client'), 'echo');
    assert.is(await ask('other'), 'EPERM');
  } finally {
    filler.remove();
  }
  await until('the host is well again', async () => (await host()).state === 'ready');
});

/** Key number `i` of what no revision would put there, and a value; addresses in the slot that is read. */
const JUNK: Readonly<Record<string, (i: number, slot: number) => readonly [object, unknown]>> = {
  policy_l3: (i) => [
    { local: 0x7f000000 + i, remote: 1, direction: 1, slot: 0, pad: 0 },
    { table: 0, rule: 0, verdict: 1, ...NO_PORT, pad: new Uint8Array(3) },
  ],
  policy_l4: (i) => [
    { table: 0xf0000000 + i, port: 0, protocol: 17, length: 16 },
    { rule: 0, verdict: 1, pad: new Uint8Array(3) },
  ],
  ip_host: (i, slot) => [{ addr: addressOf(i), slot }, 1],
  local: (i) => [
    { netns: 1, addr: addressOf(i), port: 1, protocol: 17, pad: new Uint8Array(5) },
    { identity: 1, tgid: 1, sockets: 1, failsafe: 0 },
  ],
  ip_cidr: (i, slot) => [{ prefixlen: 136, slot, addr: addressOf(i), pad: new Uint8Array(3) }, 1],
};

/** Of a network that documentation has for itself. */
function addressOf(i: number): Uint8Array {
  return Uint8Array.of(0x3f, 0xff, 0x0f, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, (i >> 16) & 255, (i >> 8) & 255, i & 255);
}

function fill(name: string): { remove(): void } {
  const path = (which: string): string => join(postern.pinDir, 'maps', which);
  const config = BpfMap.openPinned(path('config'), mapCodecs.config);
  const { ip_slot } = config.get(0)!;
  config.close();
  const map = BpfMap.openPinned(path(name), mapCodecs[name as 'policy_l3']);
  const room = map.maxEntries - [...map.keys()].length;
  const junk = Array.from({ length: room }, (_, i) => JUNK[name]!(i, ip_slot)) as (readonly [L3Key, L3Val])[];
  map.updateBatch(junk);
  return {
    remove() {
      map.deleteBatch(junk.map(([key]) => key));
      map.close();
    },
  };
}

test.run();
