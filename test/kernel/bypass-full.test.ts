/** A workload that fills what is there for all: the host keeps its place, and what does not fit is not taken for the world's. */
import { networkInterfaces } from 'node:os';
import { netnsCookie } from 'libbpf-ts/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetworkNamespaces } from '../../src/agent/network-namespaces.ts';
import { formatAddress } from '../../src/core/cidr.ts';
import { serve } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { DEN, FRIEND, type Lab, NOBODY, openLab } from './lab.ts';

const test = suite('bypass: full maps');
let lab: Lab;

test.before(
  told(async () => {
    lab = await openLab();
  }),
);

test.after(async () => {
  await lab?.destroy();
});

test('addresses of a namespace that a user made leave no address of the host out', async () => {
  const words =
    'seq 5000 | while read i; do echo addr add 10.$((i / 250)).77.$((i % 250))/32 dev lo; done | ip -batch -';
  const argv = ['unshare', '--user', '--map-root-user', '--net', 'sh', '-c', `${words}; echo READY; exec sleep 300`];
  const crowd = await serve(argv, /READY/, { uid: NOBODY, cgroup: lab.den });
  try {
    new NetworkNamespaces(lab.kernel).refresh();
    const own = netnsCookie();
    const entered = [...lab.kernel.maps.own_addr.keys()];
    const here = new Set(entered.filter(({ netns }) => netns === own).map(({ addr }) => formatAddress(addr)));
    for (const { address } of Object.values(networkInterfaces()).flatMap((list) => list ?? []))
      assert.ok(here.has(address.replace(/%.*$/, '')), address);
    assert.ok(entered.length - here.size < 2048, String(entered.length));
  } finally {
    const closed = new Promise((resolve) => crowd.once('close', resolve));
    crowd.kill('SIGKILL');
    await closed;
  }
});

test('a socket that is bound again and again leaves one entry, and none when it is closed', async () => {
  lab.policy({ 0: 'deny', [FRIEND]: 'allow', [DEN]: 'allow' });
  const size = () => [...lab.kernel.maps.local.keys()].length;
  const before = size();
  const binder = await lab.serve([lab.program('neighbour'), 'binds', '500'], /BOUND 500/);
  assert.ok(size() - before <= 1, `${size() - before} entries`);
  const closed = new Promise((resolve) => binder.once('close', resolve));
  binder.kill('SIGKILL');
  await closed;
  await until('its entry is gone', () => size() === before);
});

test.run();
