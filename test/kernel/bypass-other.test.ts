/** Containers, ports of others, execs that race: each is tried without a policy too, so that it is a real one. */
import { chmodSync, copyFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createNetns } from '../e2e/netns.ts';
import { run } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { DENIED, FREE, FRIENDS, type Frame, type Lab, NOBODY, openLab } from './lab.ts';

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

/** As Docker makes it: a bridge, a veth pair for each container, translation of what leaves. */
const INSIDE = { 4: ['10.96.0.1/24', '10.96.0.2/24'], 6: ['fd96::1/64', 'fd96::2/64'] } as const;

for (const family of [4, 6] as const)
  test(`in a container behind a bridge a workload is what it is, and its packets are judged before they are translated (IPv${family})`, async () => {
    const inside = createNetns(`${lab.home.name}c`);
    const [gateway, own] = INSIDE[family];
    const [word, sysctl, net] =
      family === 4
        ? ['ip', 'net.ipv4.ip_forward', '10.96.0.0/24']
        : ['ip6', 'net.ipv6.conf.all.forwarding', 'fd96::/64'];
    try {
      lab.home.ip('link add br0 type bridge');
      lab.home.ip(`link add pt2 type veth peer name pt2 netns ${inside.name}`);
      const nodad = family === 6 ? ' nodad' : '';
      for (const command of [
        'link set pt2 master br0',
        `addr add ${gateway} dev br0${nodad}`,
        'link set br0 up',
        'link set pt2 up',
      ])
        lab.home.ip(command);
      for (const command of [
        `addr add ${own} dev pt2${nodad}`,
        'link set pt2 up',
        `route add default via ${gateway.split('/')[0]}`,
      ])
        inside.ip(`-${family} ${command}`);
      const shell = `sysctl -qw ${sysctl}=1; nft add table ${word} pt; nft "add chain ${word} pt out { type nat hook postrouting priority 100; }"; nft add rule ${word} pt out ${word} saddr ${net} masquerade`;
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
        await until('the way out is there', async () => (await attack(DENIED[family])).some(to(DENIED[family])));
        lab.enforce();
        assert.equal((await attack(DENIED[family])).filter(to(DENIED[family])), []);
        assert.ok((await attack(FRIENDS[family])).some(to(FRIENDS[family])));
      }
    } finally {
      inside.delete();
      lab.home.ip('link del br0');
      await run(['sh', '-c', `sysctl -qw ${sysctl}=0; nft delete table ${word} pt`], { netns: lab.home.path });
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
