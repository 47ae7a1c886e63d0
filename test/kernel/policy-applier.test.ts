/** Slots, flips, refusals and restarts of the policy maps. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { CompiledDirection, CompiledIdentity, PortTable } from '../../src/core/compile.ts';
import { type IdentityId, localIdentity, toIdentityId, workloadIdentity } from '../../src/core/identity.ts';
import type { AddressIdentity } from '../../src/datapath/address-slots.ts';
import { IdentityWords } from '../../src/datapath/identity-words.ts';
import type { Kernel } from '../../src/datapath/kernel.ts';
import { CapacityError, PolicyApplier } from '../../src/datapath/policy-applier.ts';
import { L4_FALLBACK, NO_PORT } from '../../src/datapath/port-tables.ts';
import { probeVerdict } from '../../src/datapath/probe.ts';
import { RuleTable } from '../../src/datapath/rule-table.ts';
import { told } from '../e2e/wait.ts';
import { type OwnKernel, openKernel } from './own-kernel.ts';
import { countStale, dumpAddresses, dumpPolicy } from './policy-dump.ts';

const test = suite('policy applier');
const A = workloadIdentity(300);
const B = workloadIdentity(301);
const NET = localIdentity(1);
const NET2 = localIdentity(2);
const ALLOW: PortTable = { entries: [], fallback: { verdict: 'allow', rules: ['cnp/a/p ingress[0]'] } };
const DENY: PortTable = { entries: [], fallback: { verdict: 'deny', rules: ['default deny of cnp/a/p'] } };
const WEB = onPorts([80, 443]);
const OPEN: CompiledDirection = { enforced: false, peers: new Map() };

const JUNK = { remote: 1, direction: 1, slot: 0, pad: 0 };

let own: OwnKernel;
let kernel: Kernel;
let applier: PolicyApplier;

test.before(
  told(async () => {
    own = openKernel();
    kernel = own.kernel;
  }),
);

test.before.each(() => {
  const { policy_l3, policy_l4, ip_host, ip_cidr, config } = kernel.maps;
  for (const map of [policy_l3, policy_l4, ip_host, ip_cidr]) map.clear();
  new IdentityWords(kernel.maps).clear();
  config.set(0, { ...config.get(0)!, ip_slot: 0 });
  applier = restart();
});

test.after(async () => {
  await own?.destroy();
});

test('a change fills the other slot and raises the generation; the same again flips nothing', () => {
  apply(identity(A, { 0: DENY, [B]: WEB }));
  const first = new IdentityWords(kernel.maps).get(A)!;
  assert.is(applyCount(identity(A, { 0: DENY, [B]: WEB })), 0);
  assert.equal(new IdentityWords(kernel.maps).get(A), first);
  apply(identity(A, { 0: DENY, [B]: ALLOW }));
  const second = new IdentityWords(kernel.maps).get(A)!;
  assert.is(second.slot, 1 - first.slot);
  assert.ok(second.gen > first.gen);
});

test('what the old slot and unused tables held is removed by sweep, and not before', () => {
  apply(identity(A, { 0: DENY, [B]: WEB }));
  apply(identity(A, { 0: DENY, [B]: onPorts([81]) }));
  assert.ok(countStale(kernel) > 0);
  applier.sweep();
  assert.is(countStale(kernel), 0);
  assert.is(allows(A, B, 81), true);
  assert.is(allows(A, B, 80), false);
});

test('an identity that is no longer enforced is open, and leaves nothing behind', () => {
  apply(identity(A, { 0: DENY }), identity(B, { 0: DENY }));
  applier.apply({ changed: new Map([[A, undefined]]), addresses: [] });
  applier.sweep();
  assert.is(allows(A, B, 80), true);
  assert.is(allows(B, A, 80), false);
  assert.equal(
    [...kernel.maps.policy_l3.keys()].map((key) => key.local),
    [B],
  );
  assert.equal([...applier.enforced], [B]);
});

test('an identity enforced again after it was not starts from nothing', () => {
  apply(identity(A, { 0: DENY, [B]: ALLOW }));
  applier.apply({ changed: new Map([[A, undefined]]), addresses: [] });
  apply(identity(A, { 0: DENY }));
  assert.is(allows(A, B, 80), false);
});

for (const { map, change } of [
  { map: 'policy_l3', change: () => ({ changed: manyPeers(300_000), addresses: [] }) },
  { map: 'policy_l4', change: () => ({ changed: manyPorts(9), addresses: [] }) },
  { map: 'ip_cidr', change: () => ({ changed: new Map(), addresses: manyAddresses(70_000) }) },
  { map: 'ident_cfg', change: () => ({ changed: manyIdentities(70_000, DENY), addresses: [] }) },
])
  test(`what does not fit into ${map} is refused, and nothing changes`, () => {
    apply(identity(A, { 0: DENY, [B]: WEB }), identity(B, { 0: ALLOW }));
    const before = dumpPolicy(kernel);
    const error = thrown(() => applier.apply(change()));
    assert.instance(error, CapacityError);
    assert.is((error as CapacityError).map, map);
    assert.is(dumpPolicy(kernel), before);
    assert.is(countStale(kernel), 0);
    apply(identity(A, { 0: ALLOW }));
    assert.is(allows(A, B, 22), true);
  });

test('a map that others filled leaves nothing of a revision that did not find room', () => {
  apply(identity(A, { 0: DENY }));
  const { policy_l3 } = kernel.maps;
  const value = { table: 0, lengths: 0, rule: 0, verdict: 1, ...NO_PORT, pad: new Uint8Array(3) };
  const junk = Array.from({ length: policy_l3.maxEntries - 100 }, (_, i) => ({ ...JUNK, local: 0x7f000000 + i }));
  policy_l3.updateBatch(junk.map((key) => [key, value] as const));
  const before = new IdentityWords(kernel.maps).get(A);
  const peers = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [i, ALLOW]));
  assert.match(String(thrown(() => apply(identity(A, peers)))), /policy_l3/);
  assert.equal(new IdentityWords(kernel.maps).get(A), before);
  policy_l3.deleteBatch(junk);
  apply(identity(A, { 0: DENY, [B]: ALLOW }));
  assert.is(allows(A, 7 as IdentityId, 80), false, 'not what the other revision would have allowed');
  applier.sweep();
  assert.is(countStale(kernel), 0);
});

test('where more than half of the identities that fit are enforced, all of them may change at once', () => {
  applier.apply({ changed: manyIdentities(35_000, DENY), addresses: [] });
  applier.apply({ changed: manyIdentities(35_000, ALLOW), addresses: [] });
  assert.is(applier.enforced.size, 35_000);
});

test('a restart takes over what is there: the same state flips nothing, another one is applied', () => {
  const addresses = [
    { prefix: '192.0.2.0/24', identity: NET },
    { prefix: '192.0.2.1/32', identity: NET2 },
  ];
  applyAt(addresses, identity(A, { 0: DENY, [NET]: WEB }));
  const before = new IdentityWords(kernel.maps).get(A)!;
  applier = restart();
  assert.equal([...applier.enforced], [A]);
  assert.is(applyAt(addresses, identity(A, { 0: DENY, [NET]: WEB })), 0);
  assert.equal(new IdentityWords(kernel.maps).get(A), before);
  assert.is(applyAt(addresses, identity(A, { 0: DENY, [NET]: ALLOW })), 1);
  assert.ok(new IdentityWords(kernel.maps).get(A)!.gen > before.gen);
  applier.sweep();
  assert.is(countStale(kernel), 0);
});

test('of two identities with one number one is enforced, the other is refused until it is gone', () => {
  const other = workloadIdentity(A & 0xffff, 2);
  apply(identity(A, { 0: DENY, [B]: ALLOW }));
  const before = dumpPolicy(kernel);
  assert.match(String(thrown(() => apply(identity(other, { 0: ALLOW })))), /same number in two clusters/);
  assert.is(dumpPolicy(kernel), before);
  assert.is(allows(other, B, 80), true, 'not enforced: the word of the other is not read for it');
  assert.is(allows(A, workloadIdentity(999), 80), false);
  applier.apply({
    changed: new Map<number, CompiledIdentity | undefined>([
      [A, undefined],
      [other, identity(other, { 0: DENY })],
    ]),
    addresses: [],
  });
  assert.is(allows(other, B, 80), false);
  assert.is(allows(A, workloadIdentity(999), 80), true);
  assert.equal([...restart().enforced], [other]);
});

test('a restart removes what a killed agent had filled and not flipped', () => {
  apply(identity(A, { 0: DENY, [B]: ALLOW }));
  const { slot } = new IdentityWords(kernel.maps).get(A)!;
  const pad = new Uint8Array(3);
  const key = { local: A, remote: 0, direction: 1, slot: 1 - slot, pad: 0 };
  kernel.maps.policy_l3.set(key, { table: 77, lengths: 0, rule: 1, verdict: 1, ...NO_PORT, pad });
  const port = { table: 77, port: 0, protocol: 0, length: L4_FALLBACK };
  kernel.maps.policy_l4.set(port, { rule: 1, verdict: 1, pad });
  applier = restart();
  applier.sweep();
  assert.is(countStale(kernel), 0);
  assert.is(allows(A, B, 80), true);
  assert.is(allows(A, workloadIdentity(999), 80), false);
});

test('addresses change together with the policy of every identity, and the longest prefix counts', () => {
  applyAt(
    [{ prefix: '192.0.2.0/24', identity: NET }],
    identity(A, { 0: DENY, [NET]: ALLOW }),
    identity(B, { 0: DENY }),
  );
  assert.is(allows(A, '192.0.2.1', 80), true);
  assert.is(allows(A, '192.0.3.1', 80), false);
  const before = kernel.maps.config.get(0)!.ip_slot;
  applyAt([
    { prefix: '192.0.2.0/24', identity: NET },
    { prefix: '192.0.2.1/32', identity: NET2 },
    { prefix: '::/0', identity: localIdentity(3) },
    { prefix: '2001:db8::/33', identity: NET },
  ]);
  assert.is.not(kernel.maps.config.get(0)!.ip_slot, before);
  for (const id of [A, B])
    assert.is(new IdentityWords(kernel.maps).get(id)!.ip_slot, kernel.maps.config.get(0)!.ip_slot);
  assert.is(allows(A, '192.0.2.1', 80), false);
  assert.is(allows(A, '192.0.2.2', 80), true);
  assert.is(allows(A, '2001:db8:7fff::1', 80), true);
  assert.is(allows(A, '2001:db8:8000::1', 80), false);
  applier.sweep();
  assert.is(countStale(kernel), 0);
});

test('an agent killed between two flips of addresses leaves no identity without them', () => {
  const old = [{ prefix: '192.0.2.0/24', identity: NET }];
  const next = [...old, { prefix: '198.51.100.0/24', identity: NET2 }];
  const state = [identity(A, { 0: DENY, [NET]: ALLOW }), identity(B, { 0: DENY, [NET]: ALLOW })];
  applyAt(old, ...state);
  const slot = kernel.maps.config.get(0)!.ip_slot;
  applyAt(next);
  // as if killed after A's flip: B and the config still have the old slot, whose entries are there
  new IdentityWords(kernel.maps).set(B, { ...new IdentityWords(kernel.maps).get(B)!, ip_slot: slot });
  kernel.maps.config.set(0, { ...kernel.maps.config.get(0)!, ip_slot: slot });
  assert.is(dumpAddresses(kernel.maps, slot).length, 1);
  for (const wanted of [old, next]) {
    applier = restart();
    applier.sweep();
    for (const id of [A, B]) assert.is(allows(id, '192.0.2.1', 80), true, `${id} before`);
    applyAt(wanted, ...state);
    applier.sweep();
    for (const id of [A, B]) {
      assert.is(allows(id, '192.0.2.1', 80), true, `${id} after`);
      assert.is(new IdentityWords(kernel.maps).get(id)!.ip_slot, kernel.maps.config.get(0)!.ip_slot);
    }
    assert.is(dumpAddresses(kernel.maps, kernel.maps.config.get(0)!.ip_slot).length, wanted.length);
    assert.is(countStale(kernel), 0);
  }
});

test('a generation is never given out twice, also when its identity is gone and the agent was restarted', () => {
  apply(identity(A, { 0: DENY }));
  for (let i = 0; i < 5; i++) apply(identity(B, { 0: i % 2 === 0 ? DENY : ALLOW }));
  const { gen } = new IdentityWords(kernel.maps).get(B)!;
  applier.apply({ changed: new Map([[B, undefined]]), addresses: [] });
  applier = restart();
  assert.equal([...applier.enforced], [A]);
  apply(identity(B, { 0: DENY }));
  assert.ok(new IdentityWords(kernel.maps).get(B)!.gen > gen);
});

test('rule numbers depend on names only, and two runs agree', () => {
  const [one, two] = [new RuleTable(), new RuleTable()];
  const numbers = ['a', 'b', 'c'].map((name) => one.number([name]));
  assert.equal(['c', 'b', 'a'].map((name) => two.number([name])).reverse(), numbers);
  assert.equal(one.names(numbers[1]!), ['b']);
  assert.is(one.number([]), 0);
});

function restart(): PolicyApplier {
  return new PolicyApplier(kernel.maps, new RuleTable());
}

function apply(...identities: CompiledIdentity[]): void {
  applyAt([], ...identities);
}

function applyCount(...identities: CompiledIdentity[]): number {
  return applyAt([], ...identities);
}

/** How many identities flipped. */
function applyAt(addresses: readonly AddressIdentity[], ...identities: CompiledIdentity[]): number {
  return applier.apply({ changed: new Map(identities.map((one) => [one.id, one])), addresses }).flips.length;
}

/** Egress of `local`. */
function allows(local: IdentityId, remote: IdentityId | string, port: number): boolean {
  return probeVerdict(kernel, { local, remote, direction: 'egress', protocol: 6, port }).allow === 1;
}

function identity(id: IdentityId, peers: Record<number, PortTable>): CompiledIdentity {
  const map = new Map(Object.entries(peers).map(([remote, table]) => [Number(remote), table]));
  return { id, ingress: OPEN, egress: { enforced: true, peers: map } };
}

function onPorts(ports: readonly number[]): PortTable {
  const rules = ['cnp/a/p egress[0]'];
  return {
    entries: ports.map((port) => ({ protocol: 6, from: port, to: port, verdict: 'allow' as const, rules })),
    fallback: { verdict: 'deny', rules: ['default deny of cnp/a/p'] },
  };
}

function manyPeers(count: number): Map<number, CompiledIdentity> {
  const peers = new Map(Array.from({ length: count }, (_, i) => [i, ALLOW] as const));
  return new Map([[A, { id: A, ingress: OPEN, egress: { enforced: true, peers } }]]);
}

function manyIdentities(count: number, other: PortTable): Map<number, CompiledIdentity> {
  return new Map(Array.from({ length: count }, (_, i) => [i + 256, identity(toIdentityId(i + 256), { 0: other })]));
}

/** Tables of every second port. */
function manyPorts(tables: number): Map<number, CompiledIdentity> {
  const ports = (first: number) => Array.from({ length: 32_767 - first }, (_, i) => 2 * (i + first));
  const peers = Array.from({ length: tables }, (_, i) => [i, onPorts(ports(i))]);
  return new Map([[A, identity(A, Object.fromEntries(peers))]]);
}

function manyAddresses(count: number): AddressIdentity[] {
  return Array.from({ length: count }, (_, i) => ({
    prefix: `10.${(i >> 8) & 255}.${i & 255}.0/${i >> 16 ? 23 : 24}`,
    identity: i,
  }));
}

function thrown(run: () => void): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
}

test.run();
