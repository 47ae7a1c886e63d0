/**
 * A network namespace that a workload made: what the kernel says in there of neighbours, groups and errors is the kernel's,
 * although its sockets were made by the workload; what the workload says there by itself is judged as anywhere.
 */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { RingBuffer } from 'libbpf-ts';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { EventType, FlowKind, flowEventCodec } from '../../src/datapath/postern.skel.ts';
import { createNetns, joinNetns, type Netns } from '../e2e/netns.ts';
import { run, serve } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { DENIED, FRIENDS, HOME, type Lab, openLab } from './lab.ts';

const test = suite('bypass: a network namespace of its own');
let lab: Lab;
let own: Netns;
let peer: Netns;
let sniffer: ChildProcess;
let ring: RingBuffer;
let seen = '';
let barriers = 0;
/** Of ICMPv6 and of what could not be read: the kind of each event. */
let events: number[] = [];

test.before(
  told(async () => {
    lab = await openLab();
    lab.policy({ 0: 'deny' }); // discovery is ahead of it from the first packet on
    ring = new RingBuffer(lab.kernel.events, (view, offset) => {
      if (view.getUint8(offset) !== EventType.EVENT_FLOW) return;
      const { kind, protocol } = flowEventCodec.decode(view, offset);
      if (protocol === 58 || protocol === 255) events.push(kind);
    });
    const name = lab.home.name.replace(/-h$/, '');
    own = await madeByWorkload(`${name}-o`);
    peer = createNetns(`${name}-q`);
    joinNetns(own, [`${HOME[4]}/24`, `${HOME[6]}/64`], peer, [
      ...[`${DENIED[4]}/24`, `${DENIED[6]}/64`],
      ...[`${FRIENDS[4]}/24`, `${FRIENDS[6]}/64`],
    ]);
    sniffer = await serve([lab.program('peer'), 'pt0', 'discovery'], /READY/, { netns: peer.path });
    sniffer.stdout!.setEncoding('utf8').on('data', (text) => {
      seen += text;
    });
  }),
);

test.after(async () => {
  ring?.close();
  sniffer?.kill('SIGKILL');
  await lab?.destroy();
  own?.delete();
  peer?.delete();
});

/** Its sockets of the kernel count as made by who made the namespace. */
async function madeByWorkload(name: string): Promise<Netns> {
  const { code, stderr } = await run(['ip', 'netns', 'add', name], { cgroup: lab.den });
  assert.is(code, 0, stderr);
  const path = `/run/netns/${name}`;
  const ip = (words: string): void => void execFileSync('ip', ['-n', name, ...words.split(' ')]);
  ip('link set lo up');
  execFileSync('ip', ['netns', 'exec', name, 'sysctl', '-qw', 'net.ipv4.ping_group_range=0 65535']);
  return { name, path, ip, delete: () => void execFileSync('ip', ['netns', 'del', name]) };
}

/** What arrives at the peer because of `act`: "source destination protocol tag". */
async function watch(act: () => Promise<unknown>): Promise<string[]> {
  const from = seen.length;
  await act();
  const barrier = `TAG-barrier-${++barriers}`;
  await run([lab.program('egress'), 'udp', FRIENDS[4], FRIENDS[4], barrier], { netns: own.path });
  await until('what was sent before has arrived', () => seen.includes(`${barrier}\n`, from));
  return seen.slice(from).split('\n').slice(0, -1);
}

function asWorkload(mode: string, to: string): Promise<string[]> {
  const argv = [lab.program('egress'), mode, to, to, `TAG-${mode}`];
  return watch(() => run(argv, { cgroup: lab.den, netns: own.path }));
}

/** Nobody knows anybody. */
function forgetNeighbours(): void {
  own.ip('-6 neigh flush dev pt0');
  peer.ip('-6 neigh flush dev pt0');
}

/** The events that came since the last call. */
function judged(): number[] {
  ring.consume();
  const since = events;
  events = [];
  return since;
}

test('the kernel reports its groups, and asks for its router, through a deny of everything', async () => {
  for (const tag of ['MLD', 'ND-133']) await until(`${tag} has come`, () => seen.includes(`${tag}\n`));
  assert.equal(judged(), [], 'not a flow, and not a denial');
});

for (const mode of ['tcp', 'udp'])
  test(`an allowed peer is found and reached over IPv6 by ${mode}, and a denied one is not`, async () => {
    lab.enforce();
    forgetNeighbours();
    judged();
    const frames = await asWorkload(mode, FRIENDS[6]);
    assert.ok(frames.some((frame) => frame.endsWith('ND-135')));
    assert.ok(frames.some((frame) => frame.includes(` ${FRIENDS[6]} `) && /SYN-|TAG-/.test(frame)));
    assert.equal(judged(), [], 'discovery is not a flow');
    forgetNeighbours();
    assert.equal((await asWorkload(mode, DENIED[6])).filter(said), []);
  });

test('a peer that is denied everything still finds the namespace over IPv6', async () => {
  lab.policy({ 0: 'deny' });
  forgetNeighbours();
  await run([lab.program('egress'), 'udp', HOME[6], HOME[6], 'TAG-hello'], { netns: peer.path });
  const known = () => execFileSync('ip', ['-n', peer.name, 'neigh', 'show', HOME[6]], { encoding: 'utf8' });
  await until('the kernel has answered', () => known().includes('lladdr'));
});

for (const [family, error] of [
  [4, 'an ICMP error'],
  [6, 'an ICMPv6 error'],
] as const)
  test(`${error} of the kernel in there reaches who is denied everything`, async () => {
    lab.policy({ 0: 'deny' });
    const argv = [lab.program('egress'), 'udp', HOME[family], HOME[family], 'TAG-closed'];
    await run(argv, { netns: peer.path });
    const from = family === 4 ? '10[.]98[.]7[.]1 [^ ]+ 1' : 'fd98:7::1 [^ ]+ 58';
    await until('the error has come', () => new RegExp(`${from} TAG-closed\n`).test(seen));
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
      assert.ok((await asWorkload(mode, DENIED[family])).some(said), 'without a policy it arrives');
      lab.enforce();
      judged();
      assert.equal((await asWorkload(mode, DENIED[family])).filter(said), []);
      if (mode !== 'raw-connected' && mode.startsWith('raw') && family === 6)
        assert.ok(judged().includes(FlowKind.FLOW_DENY), 'and is told');
    });

/** Not discovery: a frame of the workload. */
function said(frame: string): boolean {
  return [DENIED[4], DENIED[6]].some((address) => frame.includes(` ${address} `)) && /SYN-|TAG-/.test(frame);
}

test.run();
