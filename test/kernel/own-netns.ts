/** A network namespace that somebody in a cgroup made: the sockets that the kernel has in there count as made by him. */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { RingBuffer } from 'libbpf-ts';
import { EventType, flowEventCodec } from '../../src/datapath/postern.skel.ts';
import { createNetns, joinNetns, type Netns } from '../e2e/netns.ts';
import { run, serve } from '../e2e/run-in.ts';
import { until } from '../e2e/wait.ts';
import { DENIED, FRIENDS, HOME, type Lab } from './lab.ts';

/** With the addresses of the lab, and a peer as there. */
export interface OwnNetns {
  readonly own: Netns;
  readonly peer: Netns;
  /** Whether it has arrived since the start: a line "source destination protocol tag", discovery too ("ND-type", "MLD"). */
  hasSeen(line: RegExp): boolean;
  /** What arrives at the peer because of `act`. */
  watch(act: () => Promise<unknown>): Promise<string[]>;
  /** What arrives because a program of `cgroup` sends as `mode` of attacks/egress.c says. */
  send(mode: string, to: string, cgroup: string): Promise<string[]>;
  /** Neighbours have to be asked for again. */
  forgetNeighbours(): void;
  /** Of ICMPv6 and of what could not be read: the kind of each event since the last call. */
  judged(): number[];
  delete(): void;
}

export async function openOwnNetns(lab: Lab, cgroup: string): Promise<OwnNetns> {
  const name = lab.home.name.replace(/-h$/, '');
  const netns: Netns[] = [];
  let sniffer: ChildProcess | undefined;
  let seen = '';
  let barriers = 0;
  let events: number[] = [];
  const ring = new RingBuffer(lab.kernel.events, (view, offset) => {
    if (view.getUint8(offset) !== EventType.EVENT_FLOW) return;
    const { kind, protocol } = flowEventCodec.decode(view, offset);
    if (protocol === 58 || protocol === 255) events.push(kind);
  });
  const end = (): void => {
    ring.close();
    sniffer?.kill('SIGKILL');
    for (const one of netns) one.delete();
  };
  try {
    const own = await madeIn(cgroup, `${name}-o`);
    netns.push(own);
    const peer = createNetns(`${name}-q`);
    netns.push(peer);
    joinNetns(own, [`${HOME[4]}/24`, `${HOME[6]}/64`], peer, []);
    sniffer = await serve([lab.program('peer'), 'pt0', 'discovery'], /READY/, { netns: peer.path });
    sniffer.stdout!.setEncoding('utf8').on('data', (text) => {
      seen += text;
    });
    for (const address of [`${DENIED[4]}/24`, `${FRIENDS[4]}/24`]) peer.ip(`addr add ${address} dev pt0`);
    for (const address of [`${DENIED[6]}/64`, `${FRIENDS[6]}/64`]) peer.ip(`addr add ${address} dev pt0 nodad`);
    const watch: OwnNetns['watch'] = async (act) => {
      const from = seen.length;
      await act();
      const barrier = `TAG-barrier-${++barriers}`;
      await run([lab.program('egress'), 'udp', FRIENDS[4], FRIENDS[4], barrier], { netns: own.path });
      await until('what was sent before has arrived', () => seen.includes(`${barrier}\n`, from));
      return seen.slice(from).split('\n').slice(0, -1);
    };
    return {
      own,
      peer,
      watch,
      hasSeen: (line) => line.test(seen),
      send: (mode, to, by) =>
        watch(() => run([lab.program('egress'), mode, to, to, `TAG-${mode}`], { cgroup: by, netns: own.path })),
      forgetNeighbours: () => {
        for (const one of netns) one.ip('-6 neigh flush dev pt0');
      },
      judged: () => {
        ring.consume();
        const since = events;
        events = [];
        return since;
      },
      delete: end,
    };
  } catch (error) {
    end();
    throw error;
  }
}

/** Not discovery: a frame that somebody sent to the denied peer. */
export function isToDenied(frame: string): boolean {
  return [DENIED[4], DENIED[6]].some((address) => frame.includes(` ${address} `)) && /SYN-|TAG-/.test(frame);
}

async function madeIn(cgroup: string, name: string): Promise<Netns> {
  const { code, stderr } = await run(['ip', 'netns', 'add', name], { cgroup });
  if (code !== 0) throw new Error(stderr);
  const ip = (words: string): void => void execFileSync('ip', ['-n', name, ...words.split(' ')]);
  ip('link set lo up');
  execFileSync('ip', ['netns', 'exec', name, 'sysctl', '-qw', 'net.ipv4.ping_group_range=0 65535']);
  return {
    ...{ name, path: `/run/netns/${name}`, ip },
    delete: () => void execFileSync('ip', ['netns', 'del', name]),
  };
}
