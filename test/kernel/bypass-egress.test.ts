// @timeout 120
/**
 * Ways out, each tried twice: without a policy it reaches the denied peer (so the attempt is a real one), with it
 * nothing arrives there. The sniffer at the peer decides, never a return value.
 */
import type { ChildProcess } from 'node:child_process';
import { inNetns } from 'libbpf-ts';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetworkNamespaces } from '../../src/agent/network-namespaces.ts';
import { revoke } from '../../src/datapath/revoke.ts';
import { run } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { skip } from '../skip.ts';
import { hasKernelOption, isKernelAtLeast } from './kernel-config.ts';
import { DEN, DENIED, FRIEND, FRIENDS, type Frame, HOME, type Lab, NOBODY, openLab } from './lab.ts';

const test = suite('bypass: egress');
let lab: Lab;

test.before(
  told(async () => {
    lab = await openLab();
  }),
);

test.after(async () => {
  await lab?.destroy();
});

const tries: readonly (readonly [mode: string, families: readonly (4 | 6)[]])[] = [
  ['tcp', [4, 6]],
  ['mptcp', [4, 6]],
  ['udp', [4, 6]],
  ['ping', [4, 6]],
  ['udplite', [4, 6]],
  ['rthdr-tcp', [6]],
  ['rthdr-udp', [6]],
  ['mobile-tcp', [6]],
  ['mobile-udp', [6]],
  ['flowlabel', [6]],
  ['corked', [4, 6]],
  ['gso', [4, 6]],
  ['cmsg', [4, 6]],
  ['family0', [4]],
  ['mapped-tcp', [4]],
  ['mapped-udp', [4]],
  ['mapped-mptcp', [4]],
  ['sockaddr-in', [4]],
  ['tfo-sendto', [4, 6]],
  ['tfo-connect', [4, 6]],
  ['mptcp-tfo', [4, 6]],
  ['device', [4, 6]],
  ['transparent', [4, 6]],
  ['reconnect-tcp', [4, 6]],
  ['reconnect-udp', [4, 6]],
  ['connected-sendto', [4, 6]],
  ['sendmmsg', [4, 6]],
  ['raw-icmp', [4, 6]],
  ['raw-connected', [4, 6]],
  ['raw-header', [4]],
];

for (const [mode, families] of tries)
  for (const family of families)
    if (isMobile(mode) && !hasKernelOption('IPV6_MIP6'))
      skip(test, `${mode} does not reach a denied peer`, 'kernel: CONFIG_IPV6_MIP6 (type 2 routing header) is off');
    else if (mode === 'mptcp-tfo' && !isKernelAtLeast(6, 2))
      skip(test, `${mode} over IPv${family}`, 'kernel: needs 6.2 (Fast Open of MPTCP)');
    else
      for (const uid of mode.startsWith('raw') || mode === 'transparent' ? [0] : [NOBODY, 0])
        test(`${mode} over IPv${family} does not reach a denied peer (uid ${uid})`, async () => {
          const argv = [lab.program('egress'), mode, DENIED[family], FRIENDS[family], `TAG-${mode}`];
          lab.policy(undefined);
          assert.ok(reached(await lab.attack(argv, { uid }), DENIED[family]), 'without a policy it arrives');
          lab.enforce();
          assert.equal((await lab.attack(argv, { uid })).filter(to(DENIED[family])), []);
        });

for (const mode of ['tcp', 'mptcp', 'udp', 'ping', 'udplite', 'cmsg', 'connected-sendto', 'sendmmsg', 'raw-icmp'])
  for (const family of [4, 6] as const)
    test(`${mode} over IPv${family} reaches an allowed peer`, async () => {
      lab.enforce();
      const argv = [lab.program('egress'), mode, FRIENDS[family], FRIENDS[family], `TAG-${mode}`];
      assert.ok(reached(await lab.attack(argv), FRIENDS[family]));
    });

for (const [address, family] of [
  ['224.0.0.77', 4],
  ['255.255.255.255', 4],
  ['10.98.7.255', 4],
  ['ff02::77', 6],
] as const)
  test(`what is sent to many (${address}) does not reach a denied peer, and does where the world is allowed`, async () => {
    const argv = [lab.program('egress'), 'broadcast', address, FRIENDS[family], 'TAG-many'];
    lab.policy(undefined);
    assert.ok(reached(await lab.attack(argv, { uid: NOBODY }), address), 'without a policy it arrives');
    lab.enforce();
    assert.equal((await lab.attack(argv, { uid: NOBODY })).filter(to(address)), []);
    lab.policy({ 0: 'allow' });
    assert.ok(reached(await lab.attack(argv, { uid: NOBODY }), address));
  });

for (const [address, family] of [
  ['127.0.0.1', 4],
  ['127.9.9.9', 4],
  [HOME[4], 4],
  ['::1', 6],
  [HOME[6], 6],
  ['0.0.0.0', 4],
  ['::', 6],
  ['::ffff:0.0.0.0', 6],
] as const)
  test(`"world" is not the own host: ${address} does not reach a service here`, async () => {
    const service = await lab.serve([lab.program('sink')], /READY/, lab.cgroupDir);
    new NetworkNamespaces(lab.kernel).refresh(); // which addresses are this host's own
    let got = '';
    service.stdout!.on('data', (text) => {
      got += text;
    });
    const knock = (mode: string, text: string, cgroup: string) =>
      run([lab.program('egress'), mode, text, text, 'TAG-here'], { netns: lab.home.path, cgroup });
    const barrier = async (): Promise<void> => {
      const before = got.length;
      await knock('udp', family === 4 ? '127.0.0.1' : '::1', lab.free);
      await until('the service has read what came before', () => got.length > before);
    };
    lab.policy(undefined);
    await knock('udp', address, lab.den);
    await barrier();
    assert.is(got.match(/TAG-here/g)?.length, 2, 'without a policy it arrives');
    got = '';
    lab.policy({ 0: 'deny', 9: 'allow', 10: 'allow' });
    for (const mode of ['udp', 'tcp']) await knock(mode, address, lab.den);
    await barrier();
    service.kill('SIGKILL');
    assert.is(got.match(/TAG-here/g)?.length, 1, got);
    assert.not.match(got, /ACCEPT/);
  });

for (const family of [4, 6] as const)
  test(`sockets that are older than the policy lose their right when it comes (IPv${family})`, async () => {
    lab.policy(undefined);
    const child = await lab.serve([lab.program('held'), 'open', DENIED[family], 'TAG-old'], /READY/);
    lab.enforce();
    inNetns(lab.home.path, () => revoke(lab.kernel));
    await lab.watch(async () => {}); // what came before has been seen
    const frames = await lab.watch(() => sent(child));
    assert.equal(
      frames.filter((frame) => to(DENIED[family])(frame) && frame.tag !== '-'),
      [],
    );
  });

for (const [mode, family] of [
  ['open', 4],
  ['open', 6],
  ['inflight', 4],
  ['inflight', 6],
] as const)
  test(`sockets that are older than the agent (${mode}, IPv${family}) send nothing to a denied peer`, async () => {
    const young = await openLab({ attach: false });
    try {
      const child = await young.serve([young.program('held'), mode, DENIED[family], 'TAG-older'], /READY/);
      young.label(young.den, DEN);
      young.policy({ 0: 'deny', [FRIEND]: 'allow' });
      young.kernel.attachTracing();
      young.kernel.attachSockets();
      for (let round = 1; round <= 2; round++) {
        young.kernel.maps.config.set(0, { ...young.kernel.maps.config.get(0)!, round });
        young.kernel.iterate('backfill');
      }
      inNetns(young.home.path, () => revoke(young.kernel));
      await young.watch(async () => {}); // what came before has been seen
      const frames = await young.watch(() => sent(child));
      assert.equal(
        frames.filter((frame) => to(DENIED[family])(frame) && frame.tag !== '-'),
        [],
      );
    } finally {
      await young.destroy();
    }
  });

async function sent(child: ChildProcess): Promise<void> {
  const end = new Promise((resolve) => child.once('close', resolve));
  child.stdin!.end('go\n');
  await end;
}

function isMobile(mode: string): boolean {
  return mode.startsWith('mobile') || mode === 'flowlabel';
}

function to(address: string): (frame: Frame) => boolean {
  return ({ destination }) => destination === address;
}

function reached(frames: readonly Frame[], address: string): boolean {
  return frames.some(to(address));
}

test.run();
