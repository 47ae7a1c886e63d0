/** A workload "den" in one namespace, a peer with a sniffer in another; policy written straight into the kernel. */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { CompiledIdentity, PortTable } from '../../src/core/compile.ts';
import { type IdentityId, localIdentity, workloadIdentity } from '../../src/core/identity.ts';
import type { Opens } from '../../src/core/opens.ts';
import type { AddressIdentity } from '../../src/datapath/address-slots.ts';
import { PolicyApplier } from '../../src/datapath/policy-applier.ts';
import { RuleTable } from '../../src/datapath/rule-table.ts';
import { createNetns, joinNetns, type Netns } from '../e2e/netns.ts';
import { type RunOptions, run, serve, start } from '../e2e/run-in.ts';
import { until } from '../e2e/wait.ts';
import { type OwnKernel, openKernel } from './own-kernel.ts';

/** Enforced: may talk to FRIEND and nobody else, either way. */
export const DEN = workloadIdentity(300);
/** Never enforced. */
export const FREE = workloadIdentity(301);
export const FRIEND = localIdentity(1);
/** Runs attacks without privileges. */
export const NOBODY = 65534;
/** The workload's end. DENIED and FRIENDS are the peer's addresses; GHOST is an address that nobody has. */
export const HOME = { 4: '10.98.7.1', 6: 'fd98:7::1' } as const;
export const DENIED = { 4: '10.98.7.2', 6: 'fd98:7::2' } as const;
export const FRIENDS = { 4: '10.98.7.3', 6: 'fd98:7::3' } as const;
export const GHOST = { 4: '10.98.7.9', 6: 'fd98:7::9' } as const;

const ALLOW: PortTable = { entries: [], fallback: { verdict: 'allow', rules: ['cnp/a/den egress[0]'] } };
const DENY: PortTable = { entries: [], fallback: { verdict: 'deny', rules: ['default deny of cnp/a/den'] } };

const AT_FRIENDS = [`${FRIENDS[4]}/32`, `${FRIENDS[6]}/128`].map((prefix) => ({ prefix, identity: FRIEND }));

/** Identity → verdict; 0 = every other. */
export type Peers = Readonly<Record<number, 'allow' | 'deny'>>;

/** One IP frame that arrived at the peer. */
export interface Frame {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly tag: string;
}

export interface Lab extends OwnKernel {
  readonly home: Netns;
  readonly peer: Netns;
  readonly den: string;
  readonly free: string;
  /** Builds test/kernel/attacks/<name>.c once. */
  program(name: string): string;
  /** Labels a cgroup as the agent does for one that is there already. */
  label(cgroup: string, identity: IdentityId): void;
  /** `peers` of DEN in both directions, or of each by itself; undefined = not enforced. `addresses`: FRIENDS are FRIEND. */
  policy(
    peers: Peers | { readonly ingress: Peers; readonly egress: Peers } | undefined,
    addresses?: readonly AddressIdentity[],
  ): void;
  /** DEN may talk to FRIENDS. */
  enforce(): void;
  /** Runs a program as the workload, to its end; what arrived at the peer because of it. */
  attack(argv: readonly string[], as?: Pick<RunOptions, 'cgroup' | 'uid'>): Promise<Frame[]>;
  /** Runs `act`; what arrived at the peer because of it. */
  watch(act: () => Promise<unknown>): Promise<Frame[]>;
  /** Starts a program in the workload's namespace that goes on until the end of the test. */
  serve(argv: readonly string[], ready: RegExp, cgroup?: string): Promise<ChildProcess>;
}

/** All that is judged at each packet. */
const EVERY_SOCKET: Opens = {
  names: new Set(['icmp', 'mptcp', 'udplite']),
  raw: Array.from({ length: 255 }, (_, i) => i + 1),
  sockets: false,
};

/** `opens`: what DEN may open; every socket that can be judged unless said, for the hooks behind socket() are tried. */
export async function openLab({ attach = true, opens = EVERY_SOCKET } = {}): Promise<Lab> {
  const own = openKernel();
  const name = basename(own.pinDir).replace('postern-test-', 'pt-');
  const folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
  chmodSync(folder, 0o755); // attackers without privileges run programs from it
  const children: ChildProcess[] = [];
  const netns: Netns[] = [];
  const programs = new Map<string, string>();
  const destroy = async (): Promise<void> => {
    for (const child of children) child.kill('SIGKILL');
    await own.destroy();
    for (const one of netns) one.delete();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const home = createNetns(`${name}-h`);
    netns.push(home);
    const peer = createNetns(`${name}-p`);
    netns.push(peer);
    joinNetns(home, [`${HOME[4]}/24`, `${HOME[6]}/64`], peer, [
      ...[`${DENIED[4]}/24`, `${DENIED[6]}/64`],
      ...[`${FRIENDS[4]}/24`, `${FRIENDS[6]}/64`],
    ]);
    const mac = execFileSync('ip', ['netns', 'exec', peer.name, 'cat', '/sys/class/net/pt0/address'], {
      encoding: 'utf8',
    });
    for (const ghost of Object.values(GHOST)) home.ip(`neigh replace ${ghost} lladdr ${mac.trim()} dev pt0`);
    execFileSync('ip', ['netns', 'exec', home.name, 'sysctl', '-qw', 'net.ipv4.ping_group_range=0 65535']);

    const program = (source: string): string => {
      const known = programs.get(source);
      if (known !== undefined) return known;
      const made = process.env.POSTERN_TEST_PROGRAMS; // where there is no compiler
      const binary = join(made ?? folder, source);
      if (made === undefined)
        execFileSync('cc', [
          '-O1',
          '-Wall',
          '-Werror',
          '-D_GNU_SOURCE',
          '-o',
          binary,
          join(import.meta.dirname, 'attacks', `${source}.c`),
        ]);
      programs.set(source, binary);
      return binary;
    };
    const keep = async (argv: readonly string[], ready: RegExp, where: { netns: string; cgroup?: string }) => {
      const child = await serve(argv, ready, where);
      children.push(child);
      return child;
    };
    const sniffer = start([program('peer'), 'pt0'], { netns: peer.path });
    children.push(sniffer);
    let seen = '';
    sniffer.stdout!.setEncoding('utf8').on('data', (text) => {
      seen += text;
    });
    await until('the peer listens', () => seen.includes('READY'));
    await until('IPv6 is there', async () => {
      await run([program('egress'), 'udp', FRIENDS[6], FRIENDS[6], 'TAG-hello'], { netns: home.path });
      return seen.includes('TAG-hello');
    });

    let barriers = 0;
    const watch = async (act: () => Promise<unknown>): Promise<Frame[]> => {
      const from = seen.length;
      await act();
      const barrier = `TAG-barrier-${++barriers}`;
      await run([program('egress'), 'udp', FRIENDS[4], FRIENDS[4], barrier], { netns: home.path });
      await until('what was sent before has arrived', () => seen.includes(`${barrier}\n`, from));
      return seen
        .slice(from)
        .split('\n')
        .map(toFrame)
        .filter((frame) => frame !== undefined && frame.tag !== barrier) as Frame[];
    };
    const applier = new PolicyApplier(own.kernel.maps, new RuleTable());
    const policy: Lab['policy'] = (peers, addresses = AT_FRIENDS) => {
      const direction = (of: Peers) => ({
        enforced: true,
        peers: new Map(Object.entries(of).map(([id, verdict]) => [Number(id), verdict === 'allow' ? ALLOW : DENY])),
      });
      const both = peers && ('ingress' in peers ? peers : { ingress: peers, egress: peers });
      const compiled: CompiledIdentity | undefined = both && {
        id: DEN,
        ingress: direction(both.ingress),
        egress: direction(both.egress),
      };
      applier.apply({ changed: new Map([[DEN, compiled]]), addresses, opens: new Map([[DEN, opens]]) });
    };
    const label: Lab['label'] = (cgroup, identity) => {
      const id = statSync(cgroup).ino;
      own.kernel.maps.cgroup_label.set(id, {
        ...{ identity, rank: 1, clause: 1, level: 2, flags: 0, n_patterns: 0, pad: 0, gained: id },
        patterns: Array.from({ length: 8 }, () => 0),
      });
    };
    const den = own.makeCgroup('den');
    const free = own.makeCgroup('free');
    if (attach) {
      label(den, DEN);
      label(free, FREE);
      own.kernel.attachTracing();
      own.kernel.attachSockets();
      own.kernel.maps.config.set(0, { ...own.kernel.maps.config.get(0)!, round: 1 }); // nothing is older
    }
    return {
      ...own,
      ...{ home, peer, den, free, program, label, policy, watch, destroy },
      enforce: () => policy({ 0: 'deny', [FRIEND]: 'allow' }),
      attack: (argv, as) => watch(() => run(argv, { netns: home.path, cgroup: den, ...as })),
      serve: (argv, ready, cgroup = den) => keep(argv, ready, { netns: home.path, cgroup }),
    };
  } catch (error) {
    await destroy();
    throw error;
  }
}

function toFrame(line: string): Frame | undefined {
  const [source, destination, protocol, tag] = line.split(' ');
  return tag === undefined
    ? undefined
    : { source: source!, destination: destination!, protocol: Number(protocol), tag };
}
