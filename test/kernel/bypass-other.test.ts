/** Other protocols, tunnels, containers, ports of others, execs that race: each is tried without a policy too, so that it is a real one. */
import { chmodSync, copyFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createNetns } from '../e2e/netns.ts';
import { run } from '../e2e/run-in.ts';
import { told } from '../e2e/wait.ts';
import { skip } from '../skip.ts';
import { hasKernelOption } from './kernel-config.ts';
import { DENIED, FREE, FRIENDS, type Frame, HOME, type Lab, NOBODY, openLab } from './lab.ts';

const test = suite('bypass: other');
let lab: Lab;

test.before(
  told(async () => {
    lab = await openLab();
  }),
);

test.after(async () => {
  await lab?.destroy();
});

for (const { mode, option, uid } of [
  { mode: 'sctp', option: 'IP_SCTP', uid: NOBODY },
  { mode: 'sctp-packet', option: 'IP_SCTP', uid: NOBODY },
  { mode: 'smc', option: 'SMC', uid: NOBODY },
  { mode: 'l2tp', option: 'L2TP_IP', uid: 0 },
])
  for (const family of [4, 6] as const)
    if (!hasKernelOption(option)) skip(test, `${mode} over IPv${family}`, `kernel: CONFIG_${option} is off`);
    else
      test(`${mode} over IPv${family} does not reach a denied peer`, async () => {
        const argv = [lab.program('egress'), mode, DENIED[family], FRIENDS[family], `TAG-${mode}`];
        lab.policy(undefined);
        assert.ok((await lab.attack(argv, { uid })).some(to(DENIED[family])), 'without a policy it arrives');
        lab.enforce();
        assert.equal((await lab.attack(argv, { uid })).filter(to(DENIED[family])), []);
      });

for (const { kind, option } of [
  { kind: 'ipip', option: 'NET_IPIP' },
  { kind: 'gre', option: 'NET_IPGRE' },
])
  if (!hasKernelOption(option)) skip(test, `${kind} tunnels`, `kernel: CONFIG_${option} is off`);
  else
    test(`through a tunnel (${kind}) to a friend the address inside is judged, out and in`, async () => {
      lab.home.ip(`link add pt1 type ${kind} local ${HOME[4]} remote ${FRIENDS[4]}`);
      lab.peer.ip(`link add pt1 type ${kind} local ${FRIENDS[4]} remote ${HOME[4]}`);
      try {
        for (const [netns, address] of [
          [lab.home, '10.97.1.1/24'],
          [lab.peer, '10.97.1.2/24'],
        ] as const) {
          netns.ip(`addr add ${address} dev pt1`);
          netns.ip('link set pt1 up');
        }
        const out = [lab.program('egress'), 'udp', '10.97.1.2', FRIENDS[4], 'TAG-inside'];
        lab.policy(undefined);
        assert.ok(
          (await lab.attack(out)).some(({ tag }) => tag === 'TAG-inside'),
          'without a policy it arrives',
        );
        lab.enforce();
        assert.not.ok((await lab.attack(out)).some(({ tag }) => tag === 'TAG-inside'));
      } finally {
        lab.home.ip('link del pt1');
        lab.peer.ip('link del pt1');
      }
    });

test('in a container behind a bridge a workload is what it is, and its packets are judged before they are translated', async () => {
  const inside = createNetns(`${lab.home.name}c`);
  try {
    lab.home.ip('link add br0 type bridge');
    lab.home.ip(`link add pt2 type veth peer name pt2 netns ${inside.name}`);
    for (const command of [
      'link set pt2 master br0',
      'addr add 10.96.0.1/24 dev br0',
      'link set br0 up',
      'link set pt2 up',
    ])
      lab.home.ip(command);
    for (const command of ['addr add 10.96.0.2/24 dev pt2', 'link set pt2 up', 'route add default via 10.96.0.1'])
      inside.ip(command);
    const shell =
      'sysctl -qw net.ipv4.ip_forward=1; nft add table ip pt; nft "add chain ip pt out { type nat hook postrouting priority 100; }"; nft add rule ip pt out ip saddr 10.96.0.0/24 masquerade';
    const { code, stderr } = await run(['sh', '-c', shell], { netns: lab.home.path });
    assert.is(code, 0, stderr);
    for (const kind of ['udp', 'tcp']) {
      const attack = (address: string) =>
        lab.watch(() =>
          run([lab.program('egress'), kind, address, address, 'TAG-container'], {
            netns: inside.path,
            cgroup: lab.den,
          }),
        );
      lab.policy(undefined);
      assert.ok((await attack(DENIED[4])).some(to(DENIED[4])), 'without a policy it arrives');
      lab.enforce();
      assert.equal((await attack(DENIED[4])).filter(to(DENIED[4])), []);
      assert.ok((await attack(FRIENDS[4])).some(to(FRIENDS[4])));
    }
  } finally {
    inside.delete();
    lab.home.ip('link del br0');
  }
});

for (const mode of ['tcp', 'tcp-reuseport', 'udp', 'udp-specific', 'tcp6', 'udp6-reuseport'])
  test(`a port that is registered for another workload is not bound (${mode}), one that is nobody's is`, async () => {
    lab.enforce();
    const protocol = mode.startsWith('udp') ? 17 : 6;
    const key = { addr: new Uint8Array(16), port: 7701, protocol, slot: lab.kernel.maps.config.get(0)!.match_slot };
    lab.kernel.maps.listen_match.set(key, { identity: FREE, rank: 9, clause: 1, pad: 0 });
    const bind = async (port: string, cgroup: string): Promise<string> =>
      (await run([lab.program('theft'), mode, port], { netns: lab.home.path, cgroup })).stdout.trim();
    assert.is(await bind('7701', lab.den), 'Operation not permitted');
    assert.is(await bind('7701', lab.free), 'BOUND');
    assert.is(await bind('7702', lab.den), 'BOUND');
    lab.kernel.maps.listen_match.delete(key);
  });

for (const mode of ['double', 'vfork', 'exec'])
  test(`execs that race, or that change the user (${mode}), lose no label`, async () => {
    const plain = lab.program('identity');
    const raised = `${plain}-raised`;
    copyFileSync(plain, raised);
    chmodSync(raised, 0o4755);
    const argv = [lab.program('execs'), mode, raised, '-', DENIED[4], 'TAG-execs'];
    lab.policy(undefined);
    assert.ok((await lab.attack(argv, { uid: NOBODY })).some(to(DENIED[4])), 'without a policy it arrives');
    lab.enforce();
    for (let i = 0; i < 20; i++) assert.equal((await lab.attack(argv, { uid: NOBODY })).filter(to(DENIED[4])), []);
  });

function to(address: string): (frame: Frame) => boolean {
  return ({ destination }) => destination === address;
}

test.run();
