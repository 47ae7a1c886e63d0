/**
 * What a workload may open besides TCP and UDP: nothing, unless its registration or its policy opens it. As root, and as a user
 * that holds CAP_NET_RAW. A stand-in for keepalived sends and hears advertisements.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { inNetns } from 'libbpf-ts';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { CompiledDirection, PortTable } from '../../src/core/compile.ts';
import { declaredOpens, type Opening } from '../../src/core/opens.ts';
import { IdentityWords } from '../../src/datapath/identity-words.ts';
import { guardCgroup, guardNamespace } from '../../src/datapath/packet-guard.ts';
import { PolicyApplier } from '../../src/datapath/policy-applier.ts';
import { RuleTable } from '../../src/datapath/rule-table.ts';
import { run } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { skip } from '../skip.ts';
import { GUARD_HOOKS, MISSING_HOOKS } from './guard-hooks.ts';
import { DEN, DENIED, FRIEND, FRIENDS, HOME, type Lab, NOBODY, openLab } from './lab.ts';

const [EPERM, EPROTONOSUPPORT] = [1, 93];
const [STREAM, DGRAM, RAW] = [1, 2, 3];
const [INET, INET6] = [2, 10];
const VRRP_GROUP = '224.0.0.18';
const test = suite('opens');
let lab: Lab;
let applier: PolicyApplier;

test.before(
  told(async () => {
    lab = await openLab();
    lab.home.ip(`route add ${VRRP_GROUP} dev pt0`);
    guardCgroup(lab.kernel, lab.den);
    applier = new PolicyApplier(lab.kernel.maps, new RuleTable());
  }),
);

test.after(async () => {
  await lab?.destroy();
});

const NOTHING: PortTable = { entries: [], fallback: { verdict: 'deny', rules: ['default deny of cnp/a/den'] } };
const only = (protocol: number, from = 0, to = 65535): PortTable => ({
  ...NOTHING,
  entries: [{ protocol, from, to, verdict: 'allow', rules: ['cnp/a/den egress[0]'] }],
});
const to = (peers: Readonly<Record<number, PortTable>>): CompiledDirection => ({
  enforced: true,
  peers: new Map([[0, NOTHING], ...Object.entries(peers).map(([id, table]) => [Number(id), table] as const)]),
});
const FREE: CompiledDirection = { enforced: false, peers: new Map() };

function enforce(opens: readonly Opening[], egress = to({ [FRIEND]: only(6, 443, 443) }), ingress = to({})): void {
  const addresses = [`${FRIENDS[4]}/32`, `${FRIENDS[6]}/128`].map((prefix) => ({ prefix, identity: FRIEND }));
  applier.apply({
    changed: new Map([[DEN, { id: DEN, ingress, egress }]]),
    addresses,
    opens: new Map([[DEN, declaredOpens(opens)]]),
  });
}

function unenforce(): void {
  applier.apply({ changed: new Map([[DEN, undefined]]), addresses: [] });
}

const WHO = [
  ['root', []],
  [
    'a user with CAP_NET_RAW',
    [
      ...['setpriv', `--reuid=${NOBODY}`, '--clear-groups', '--inh-caps=+net_raw,+net_admin'],
      ...['--ambient-caps=+net_raw,+net_admin', '--'],
    ],
  ],
] as const;

/** What the program says, as the workload; error number or 0. */
async function tries(words: readonly (string | number)[], as: readonly string[] = [], cgroup = lab.den) {
  const { stdout, stderr } = await run([...as, lab.program('opens'), ...words.map(String)], {
    netns: lab.home.path,
    cgroup,
  });
  assert.is(stderr, '');
  return Number(stdout);
}

const SOCKETS: readonly (readonly [what: string, socket: readonly number[], closed: number, opening: Opening])[] = [
  ['a ping socket', [INET, DGRAM, 1], EPERM, 'icmp'],
  ['a ping socket of IPv6', [INET6, DGRAM, 58], EPERM, 'icmp'],
  ['a raw ICMP socket', [INET, RAW, 1], EPERM, 'icmp'],
  ['MPTCP', [INET, STREAM, 262], EPROTONOSUPPORT, 'mptcp'],
  ['MPTCP over IPv6', [INET6, STREAM, 262], EPROTONOSUPPORT, 'mptcp'],
  ['UDP-Lite', [INET, DGRAM, 136], EPERM, 'udplite'],
  ['VRRP by name', [INET, RAW, 112], EPERM, { raw: ['vrrp'] }],
  ['VRRP by number, IPv6', [INET6, RAW, 112], EPERM, { raw: [112] }],
  ['a raw socket with headers of its own', [INET, RAW, 255], EPERM, { raw: [255] }],
];

for (const [who, as] of WHO)
  for (const [what, socket, closed, opening] of SOCKETS)
    test(`${what}: refused to ${who}, unless it is declared`, async () => {
      enforce([]);
      assert.is(await tries(socket, as), closed);
      enforce([opening]);
      assert.is(await tries(socket, as), 0);
      assert.is(await tries(socket, as, lab.free), 0, 'to others it is none of our business');
    });

test('what is declared opens nothing else', async () => {
  for (const [, , , opening] of SOCKETS)
    for (const [what, socket, closed, other] of SOCKETS) {
      if (JSON.stringify(other) === JSON.stringify(opening) || what.startsWith('VRRP')) continue;
      enforce([opening]);
      assert.is(await tries(socket), closed, `${JSON.stringify(opening)}: ${what}`);
    }
  enforce([{ raw: ['vrrp'] }]);
  assert.is(await tries([INET, RAW, 89]), EPERM);
  assert.is(await tries([INET, RAW, 17]), EPERM);
});

test('a policy that allows ICMP to somebody opens ICMP, and only that', async () => {
  enforce([], to({ [FRIEND]: only(1, 8, 8) }));
  assert.is(await tries([INET, DGRAM, 1]), 0);
  assert.is(await tries([INET, RAW, 112]), EPERM);
  enforce([], FREE);
  assert.is(await tries([INET, DGRAM, 1]), 0, 'egress is nobody’s business');
  assert.is(await tries([INET, RAW, 112]), EPERM);
});

test('a rule that names VRRP opens raw sockets of VRRP; one without ports does not', async () => {
  enforce([], to({ [FRIEND]: only(112) }));
  assert.is(await tries([INET, RAW, 112]), 0);
  assert.is(await tries([INET, RAW, 89]), EPERM);
  enforce([], to({ [FRIEND]: { entries: [], fallback: { verdict: 'allow', rules: [] } } }));
  assert.is(await tries([INET, RAW, 112]), EPERM);
});

test('a policy that is only audited closes nothing', async () => {
  const audited: CompiledDirection = {
    enforced: true,
    peers: new Map([[0, { entries: [], fallback: { verdict: 'audit', rules: ['default deny of cnp/a/den'] } }]]),
  };
  enforce([], audited, audited);
  for (const [what, socket] of SOCKETS) assert.is(await tries(socket), 0, what);
});

for (const [who, as] of WHO)
  test(`keepalived, as ${who}: declared and allowed its advertisements arrive, and nowhere else`, async () => {
    const vrrp = (address: string, ...more: string[]) =>
      lab.attack([...as, lab.program('opens'), 'vrrp', HOME[4], address, 'TAG-vrrp', ...more]);
    enforce([], to({ [FRIEND]: only(112) }));
    assert.ok((await vrrp(FRIENDS[4])).length > 0, 'a policy that names it is enough');
    enforce([{ raw: ['vrrp'] }], to({ [FRIEND]: only(112) }));
    assert.ok((await vrrp(FRIENDS[4])).some(({ protocol }) => protocol === 112));
    assert.equal(await vrrp(DENIED[4]), [], 'its packets are judged');
    assert.equal(await vrrp(VRRP_GROUP), [], 'the group is not allowed');
    enforce([{ raw: ['vrrp'] }]);
    assert.equal(await vrrp(FRIENDS[4]), [], 'declared and not allowed');
    enforce([{ raw: ['vrrp'] }], to({ 0: only(112) }));
    assert.ok((await vrrp(VRRP_GROUP)).some(({ destination }) => destination === VRRP_GROUP));
  });

for (const protocol of ['6', '17', '1'])
  test(`a raw socket of VRRP sends no packet of protocol ${protocol} under a header of its own`, async () => {
    const forged = () => lab.attack([lab.program('opens'), 'vrrp', HOME[4], FRIENDS[4], 'TAG-forged', protocol]);
    unenforce();
    assert.ok((await forged()).length > 0, 'without a policy it arrives');
    enforce([{ raw: ['vrrp'] }], to({ [FRIEND]: only(112) }));
    assert.ok((await lab.attack([lab.program('opens'), 'vrrp', HOME[4], FRIENDS[4], 'TAG-vrrp'])).length > 0);
    assert.equal(await forged(), [], 'not even after an advertisement to the same peer');
    assert.ok(
      (await lab.attack([lab.program('opens'), 'vrrp', HOME[4], FRIENDS[4], 'TAG-own', '112'])).length > 0,
      'its own protocol may have a header of its own',
    );
  });

test('a keepalived hears the advertisements of allowed peers, and of nobody else', async () => {
  enforce([{ raw: ['vrrp'] }], to({}), to({ [FRIEND]: only(112) }));
  const child = await lab.serve([lab.program('opens'), 'hear', HOME[4]], /ready/);
  let heard = '';
  child.stdout!.on('data', (text) => {
    heard += text;
  });
  const say = (from: string, tag: string) =>
    run([lab.program('opens'), 'vrrp', from, HOME[4], tag, '112'], { netns: lab.peer.path });
  await say(DENIED[4], 'TAG-denied');
  await say(FRIENDS[4], 'TAG-allowed');
  await until('the allowed one is heard', () => heard.includes('TAG-allowed'));
  assert.not.ok(heard.includes('TAG-denied'));
});

test('a tun device opens for who declared it, and for nobody else who is enforced', async () => {
  const path = existsSync('/dev/net/tun') ? '/dev/net/tun' : undefined;
  assert.ok(path, 'the kernel has tun devices');
  enforce([]);
  assert.is(await tries(['device', path]), EPERM);
  enforce(['packet', 'icmp']);
  assert.is(await tries(['device', path]), EPERM);
  enforce(['tun']);
  assert.is(await tries(['device', path]), 0);
  enforce([], FREE);
  assert.is(await tries(['device', path]), 0);
});

for (const reason of GUARD_HOOKS.length === 0 ? MISSING_HOOKS : []) skip(test, 'packet sockets', reason);
if (GUARD_HOOKS.length > 0)
  test('packet sockets send for who declared them, also around the queue; AF_XDP stays closed', async () => {
    inNetns(lab.home.path, () => guardNamespace(lab.kernel, 'home'));
    const address = ['ip', 'netns', 'exec', lab.peer.name, 'cat', '/sys/class/net/pt0/address'];
    const mac = execFileSync(address[0]!, address.slice(1), { encoding: 'utf8' }).trim();
    const frames = (mode: string) =>
      lab.attack([lab.program('wire'), mode, 'pt0', mac, HOME[4], DENIED[4], FRIENDS[4], `TAG-${mode}`]);
    enforce(['tun', 'icmp', { raw: [255] }]);
    for (const mode of ['packet', 'packet-bypass', 'xdp']) assert.equal(await frames(mode), [], mode);
    enforce(['packet']);
    for (const mode of ['packet', 'packet-bypass']) assert.ok((await frames(mode)).length > 0, mode);
    assert.equal(await frames('xdp'), []);
  });

test('a change of what is declared holds from the next socket on, without a change of policy', async () => {
  enforce([]);
  assert.is(await tries([INET, RAW, 112]), EPERM);
  const { gen } = new IdentityWords(lab.kernel.maps).get(DEN)!;
  applier.apply({
    changed: new Map(),
    addresses: [`${FRIENDS[4]}/32`, `${FRIENDS[6]}/128`].map((prefix) => ({ prefix, identity: FRIEND })),
    opens: new Map([[DEN, declaredOpens([{ raw: [112, 89] }])]]),
  });
  assert.ok(new IdentityWords(lab.kernel.maps).get(DEN)!.gen > gen);
  assert.is(await tries([INET, RAW, 112]), 0);
  assert.is([...lab.kernel.maps.raw_open.keys()].length, 2);
  enforce([{ raw: [89] }]);
  assert.is(await tries([INET, RAW, 112]), EPERM);
  assert.is(await tries([INET, RAW, 89]), 0);
  unenforce();
  assert.is([...lab.kernel.maps.raw_open.keys()].length, 0, 'nothing is left of who is not enforced');
  assert.is(await tries([INET, RAW, 112]), 0);
});

test.run();
