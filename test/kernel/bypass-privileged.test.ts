/**
 * Ways out that need root, each tried twice: without a policy it reaches the denied peer (so the attempt is a real one),
 * with it nothing arrives there. The sniffer at the peer decides.
 */
import { execFileSync } from 'node:child_process';
import { inNetns } from 'libbpf-ts';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type GuardHook, guardCgroup, guardNamespace, unguardNamespace } from '../../src/datapath/packet-guard.ts';
import { told } from '../e2e/wait.ts';
import { skip } from '../skip.ts';
import { GUARD_HOOKS, MISSING_HOOKS } from './guard-hooks.ts';
import { DENIED, FRIENDS, type Frame, HOME, type Lab, openLab } from './lab.ts';

const test = suite('bypass: privileged');
let lab: Lab;
let mac: string;

test.before(
  told(async () => {
    lab = await openLab();
    mac = execFileSync('ip', ['netns', 'exec', lab.peer.name, 'cat', '/sys/class/net/pt0/address'], {
      encoding: 'utf8',
    }).trim();
    guardCgroup(lab.kernel, lab.den);
  }),
);

test.after(async () => {
  await lab?.destroy();
});

const tries: readonly (readonly [mode: string, families: readonly (4 | 6)[]])[] = [
  ['raw-udp', [4, 6]],
  ['raw-own-header', [4, 6]],
  ['lsrr-udp', [4]],
  ['lsrr-tcp', [4]],
  ['lsrr-cmsg', [4]],
  ['repair', [4, 6]],
  ['packet', [4, 6]],
  ['packet-dgram', [4, 6]],
  ['packet-bypass', [4, 6]],
  ['packet-ring', [4, 6]],
  ['packet-old', [4, 6]],
  ['xdp', [4, 6]],
  ['tun', [4, 6]],
];

/** A packet out of a tun device must not come from an own address, or it is not forwarded. */
const STRANGER = { 4: '10.98.200.7', 6: 'fd98:200::7' } as const;

for (const reason of MISSING_HOOKS) skip(test, 'packet sockets', reason);
for (const [mode, families] of tries)
  for (const family of families)
    for (const hook of mode.startsWith('packet') ? GUARD_HOOKS : [undefined])
      test(`${mode} over IPv${family} does not reach a denied peer${hook === undefined ? '' : `, ${hook}`}`, async () => {
        const argv = wire(mode, family, DENIED[family]);
        if (hook !== undefined) guardBy(hook);
        lab.policy(undefined);
        assert.ok((await lab.attack(argv)).some(to(DENIED[family])), 'without a policy it arrives');
        lab.enforce();
        assert.equal((await lab.attack(argv)).filter(to(DENIED[family])), []);
      });

for (const [mode, family] of [
  ['raw-udp', 4],
  ['raw-udp', 6],
  ['raw-own-header', 4],
] as const)
  test(`${mode} over IPv${family} reaches an allowed peer`, async () => {
    lab.enforce();
    assert.ok((await lab.attack(wire(mode, family, FRIENDS[family]))).some(to(FRIENDS[family])));
  });

for (const family of [4, 6] as const)
  for (const kind of ['tcp', 'udp'])
    test(`a translation (DNAT) on the own host does not lead ${kind} over IPv${family} to a denied peer`, async () => {
      const argv = [lab.program('egress'), kind, FRIENDS[family], FRIENDS[family], 'TAG-dnat'];
      const word = family === 4 ? 'ip' : 'ip6';
      nft(`add table ${word} pt`);
      try {
        nft(`add chain ${word} pt out { type nat hook output priority -100; }`);
        nft(`add rule ${word} pt out ${word} daddr ${FRIENDS[family]} dnat to ${DENIED[family]}`);
        lab.policy(undefined);
        assert.ok((await lab.attack(argv)).some(to(DENIED[family])), 'without a policy it arrives');
        lab.enforce();
        assert.equal((await lab.attack(argv)).filter(to(DENIED[family])), []);
      } finally {
        nft(`delete table ${word} pt`);
      }
    });

/** The other hook's guard goes: each is tried by itself. */
function guardBy(hook: GuardHook): void {
  inNetns(lab.home.path, () => {
    if (hook === 'clsact')
      for (const pin of lab.kernel.attached()) if (pin.startsWith('guard_egress_home_')) lab.kernel.drop(pin);
    if (hook === 'tcx') unguardNamespace(lab.pinDir);
    guardNamespace(lab.kernel, 'home', hook);
  });
}

function wire(mode: string, family: 4 | 6, to: string): string[] {
  const source = mode === 'tun' ? STRANGER[family] : HOME[family];
  return [lab.program('wire'), mode, 'pt0', mac, source, to, FRIENDS[family], `TAG-${mode}`];
}

function nft(command: string): void {
  execFileSync('ip', ['netns', 'exec', lab.home.name, 'nft', command]);
}

function to(address: string): (frame: Frame) => boolean {
  return ({ destination }) => destination === address;
}

test.run();
