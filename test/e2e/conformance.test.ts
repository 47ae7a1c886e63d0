// @timeout 240
/** A sample of the conformance tables that has every tag, with real processes and sockets: TCP, UDP, ICMP. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { countOwn, ownAddresses } from './ask.ts';
import { HOST_LABELS, sample } from './conformance-rows.ts';
import { addAddress, FAR, FAR6, INSIDE, INSIDE6, RealWorld } from './conformance-world.ts';
import { type Instance, startInstance } from './instance.ts';
import { createNetns, joinNetns, type Netns } from './netns.ts';
import { type Puppet, startPuppet } from './puppet.ts';
import { told } from './wait.ts';

const test = suite('conformance with real sockets');
let postern: Instance;
let inside: Netns;
let outside: Netns;
let keeper: Puppet | undefined;

/** Tags whose rows need what one host has not; policy-engine.test.ts holds the kernel's tables to them. */
const NOT_HERE = [
  'cilium-l3l4 cluster', // another cluster
  'cilium-l3l4 fqdn', // not supported yet
  'cilium-l3l4 mode', // enable-policy.test.ts
  'cilium-l3l4 requires', // gone from Cilium
];

test.before(
  told(async () => {
    postern = await startInstance({ env: { POSTERN_HOST_LABELS: HOST_LABELS } });
    inside = createNetns(`pt-${postern.name}-in`);
    outside = createNetns(`pt-${postern.name}-out`);
    joinNetns(inside, ['192.0.2.129/31', '2001:db8:99::1/127'], outside, ['192.0.2.128/31', '2001:db8:99::/127']);
    const before = await countOwn(postern);
    for (const [netns, addresses, via, via6] of [
      [inside, [...INSIDE, ...INSIDE6], '192.0.2.128', '2001:db8:99::'],
      [outside, [...FAR, ...FAR6], '192.0.2.129', '2001:db8:99::1'],
    ] as const) {
      for (const address of addresses) netns.ip(addAddress(address));
      netns.ip(`route add default via ${via}`);
      netns.ip(`-6 route add default via ${via6}`);
    }
    keeper = startPuppet({ netns: inside.path, cgroup: postern.makeCgroup('keeper') }); // somebody lives there
    await ownAddresses(postern, before + INSIDE.length + INSIDE6.length);
  }),
);

test.after(async () => {
  keeper?.end();
  await postern?.destroy();
  inside?.delete();
  outside?.delete();
});

const { rows, missing } = sample();

test('the sample is of some size', () => {
  const probes = rows.flatMap((row) => row.probes);
  assert.ok(probes.length > 350, `${probes.length} probes`);
  for (const expected of ['allow', 'deny']) {
    const count = probes.filter((probe) => (probe.expectCilium ?? probe.expect) === expected).length;
    assert.ok(count > 60, `${count} ${expected}`);
  }
});

test('every tag has a row that can happen here, but for those that are named', () => {
  assert.equal(missing, NOT_HERE);
});

for (const [number, { row, probes }] of rows.entries()) {
  test(`${row.name}: ${probes.length} probes`, async () => {
    const world = new RealWorld(postern, { inside, outside }, row, number);
    try {
      await world.open();
      const wrong: string[] = [];
      for (const probe of probes) {
        const expected = (probe.expectCilium ?? probe.expect) === 'allow';
        if ((await world.probe(probe, expected)) !== expected) wrong.push(`${JSON.stringify(probe)} ${world.met}`);
      }
      assert.equal(wrong, []);
    } finally {
      await world.close();
    }
  });
}

test.run();
