/**
 * A network namespace that a workload made: what the kernel says in there of neighbours, groups and errors is the kernel's,
 * although its sockets were made by the workload; what the workload says there by itself is judged as anywhere.
 */
import { execFileSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FlowKind } from '../../src/datapath/postern.skel.ts';
import { run } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { DENIED, FRIENDS, HOME, type Lab, openLab } from './lab.ts';
import { isToDenied, type OwnNetns, openOwnNetns } from './own-netns.ts';

const test = suite('bypass: a network namespace of its own');
let lab: Lab;
let net: OwnNetns;

test.before(
  told(async () => {
    lab = await openLab();
    lab.policy({ 0: 'deny' }); // discovery is ahead of it from the first packet on
    net = await openOwnNetns(lab, lab.den);
  }),
);

test.after(async () => {
  net?.delete();
  await lab?.destroy();
});

test('the kernel reports its groups, and asks for its router, through a deny of everything', async () => {
  for (const tag of [/MLD\n/, /ND-133\n/]) await until(`${tag} has come`, () => net.hasSeen(tag));
  assert.equal(net.judged(), [], 'not a flow, and not a denial');
});

for (const mode of ['tcp', 'udp'])
  test(`an allowed peer is found and reached over IPv6 by ${mode}, and a denied one is not`, async () => {
    lab.enforce();
    net.forgetNeighbours();
    net.judged();
    const frames = await net.send(mode, FRIENDS[6], lab.den);
    assert.ok(frames.some((frame) => frame.endsWith('ND-135')));
    assert.ok(frames.some((frame) => frame.includes(` ${FRIENDS[6]} `) && /SYN-|TAG-/.test(frame)));
    assert.equal(net.judged(), [], 'discovery is not a flow');
    net.forgetNeighbours();
    assert.equal((await net.send(mode, DENIED[6], lab.den)).filter(isToDenied), []);
  });

test('a peer that is denied everything still finds the namespace over IPv6', async () => {
  lab.policy({ 0: 'deny' });
  net.forgetNeighbours();
  await sayFromPeer(HOME[6]);
  const known = () => execFileSync('ip', ['-n', net.peer.name, 'neigh', 'show', HOME[6]], { encoding: 'utf8' });
  await until('the kernel has answered', () => known().includes('lladdr'));
});

for (const [address, error] of [
  [HOME[4], /10[.]98[.]7[.]1 [^ ]+ 1 TAG-closed\n/],
  [HOME[6], /fd98:7::1 [^ ]+ 58 TAG-closed\n/],
] as const)
  test(`a peer that is denied everything still gets the kernel's ICMP error from ${address}`, async () => {
    lab.policy({ 0: 'deny' });
    await sayFromPeer(address);
    await until('the error has come', () => net.hasSeen(error));
  });

for (const [mode, families] of [
  ['tcp', [4, 6]],
  ['udp', [4, 6]],
  ['ping', [4, 6]],
  ['raw-icmp', [4, 6]],
  ['raw-connected', [4, 6]],
  ['raw-discovery', [6]],
  ['raw-groups', [6]],
] as const)
  for (const family of families)
    test(`${mode} over IPv${family} from in there does not reach a denied peer`, async () => {
      lab.policy(undefined);
      assert.ok((await net.send(mode, DENIED[family], lab.den)).some(isToDenied), 'without a policy it arrives');
      lab.enforce();
      net.judged();
      assert.equal((await net.send(mode, DENIED[family], lab.den)).filter(isToDenied), []);
      if (mode === 'raw-discovery' || mode === 'raw-groups')
        assert.equal(net.judged(), [FlowKind.FLOW_DENY], 'and is told');
    });

function sayFromPeer(to: string): Promise<unknown> {
  return run([lab.program('egress'), 'udp', to, to, 'TAG-closed'], { netns: net.peer.path });
}

test.run();
