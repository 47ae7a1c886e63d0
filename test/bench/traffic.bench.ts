/**
 * Traffic beside no Postern: the same client and server, pinned to one CPU, in slices that alternate
 *   none     no Postern and no filter
 *   postern  both labelled and enforced, in and out; 1000 policies, 10 000 prefixes, events drained by this process
 *   stateful two namespaces whose nft rules do the same: who is in a set of 10 000 addresses may begin a connection, answers pass
 *   prefixes without state: input and output look every packet's peer up in an nft set of 10 000 prefixes
 *   hashed   without state, in an nft set that can hold only single addresses
 * over a veth pair and over loopback; each in a cgroup of the same depth, as every service of a host is. Each figure is the
 * best of its slices: other work only ever makes one worse.
 */
import { execFileSync } from 'node:child_process';
import { readCounters } from '../../src/datapath/counters.ts';
import type { Netns } from '../e2e/netns.ts';
import { type RunOptions, serve } from '../e2e/run-in.ts';
import { type OwnKernel, openKernel } from '../kernel/own-kernel.ts';
import { labelCgroup } from './label-cgroup.ts';
import { buildLoad, CPU } from './load.ts';
import { report } from './row.ts';
import {
  Best,
  CLIENT_IP,
  leaveMeasuredCpu,
  loadWorld,
  makeBareCgroups,
  makePair,
  PORT,
  SERVER_IP,
  SLICE,
  type Undo,
} from './traffic-lab.ts';
import { CLIENT, SERVER } from './traffic-world.ts';

const ROUNDS = Number(process.env.POSTERN_BENCH_ROUNDS ?? 7);

const FIGURES = [
  { name: 'connect', title: 'connects per second', unit: '/s', higher: true, target: 0.9 },
  { name: 'tcp_rr', title: 'TCP request and response, p50', unit: ' µs', higher: false, target: 1.05 },
  { name: 'udp_rr', title: 'UDP request and response, p50', unit: ' µs', higher: false, target: 1.1 },
  { name: 'stream', title: 'TCP stream', unit: ' Gbit/s', higher: true, target: 0.95 },
] as const;
type Config = 'none' | 'postern' | keyof typeof SETS;
const SETS = { stateful: 'with answers by state', prefixes: 'of prefixes, no state', hashed: 'of addresses, no state' };
const NFT = Object.keys(SETS) as (keyof typeof SETS)[];
const CONFIGS: readonly Config[] = ['none', 'postern', ...NFT];

leaveMeasuredCpu();
const load = buildLoad();
const undo: Undo = [load.delete];
try {
  const plain = makePair(undo, 'p');
  const nft = { stateful: makePair(undo, 's'), prefixes: makePair(undo, 'i'), hashed: makePair(undo, 'h') };
  const pairs = { none: plain, postern: plain, ...nft };
  for (const netns of Object.values(nft.stateful)) loadNft(netns, '', 'ct state established,related accept;');
  for (const netns of Object.values(nft.prefixes)) loadNft(netns, 'flags interval;');
  for (const netns of Object.values(nft.hashed)) loadNft(netns);
  const own = openKernel();
  undo.push(() => own.destroy());
  const postern = attach(own);
  const bare = makeBareCgroups(undo, own.mount);

  for (const link of ['veth', 'loopback'] as const) {
    const ip = link === 'veth' ? SERVER_IP : '127.0.0.1';
    const where = (config: Config, side: 'client' | 'server'): RunOptions => ({
      netns: pairs[config][link === 'veth' ? side : 'server'].path,
      cgroup: (config === 'postern' ? postern : bare)[side],
    });
    const port = (config: Config): number => PORT + 2 * CONFIGS.indexOf(config);
    const servers = await Promise.all(
      CONFIGS.map((config) =>
        serve([load.path, 'serve', String(CPU), ip, String(port(config))], /ready/, where(config, 'server')),
      ),
    );
    undo.push(() => {
      for (const server of servers) server.kill('SIGKILL');
    });
    const best = new Best();
    for (let round = 0; round < ROUNDS; round++)
      for (const figure of FIGURES)
        for (let i = 0; i < CONFIGS.length; i++) {
          const config = CONFIGS[(i + round) % CONFIGS.length]!;
          const value = await load.measure([figure.name, CPU, ip, port(config), SLICE], where(config, 'client'));
          best.take(figure, config, value);
        }
    for (const server of servers) server.kill('SIGKILL');
    for (const figure of FIGURES) reportFigure(link, figure, best);
  }
  const { event, eventLost, mapMiss, noStorage, localMiss } = readCounters(own.kernel.maps);
  console.log(
    `events ${event}, lost ${eventLost}, decoded ${postern.decoded()}, denied ${postern.denied()}; map misses ${mapMiss}, sockets without label ${noStorage}, local misses ${localMiss}`,
  );
} finally {
  for (const step of undo.reverse()) await step();
}

function reportFigure(link: string, figure: (typeof FIGURES)[number], best: Best): void {
  const { name, title, unit, higher, target } = figure;
  const at = (config: Config): number => best.of(figure, config);
  const ratio = at('postern') / at('none');
  const digits = name === 'connect' ? 0 : 2;
  report({
    what: `${link}: ${title}`,
    measured: `${ratio.toFixed(3)}x (${at('postern').toFixed(digits)} to ${at('none').toFixed(digits)}${unit})`,
    target: `${higher ? '>=' : '<='} ${target.toFixed(2)}`,
    met: higher ? ratio >= target : ratio <= target,
  });
  for (const set of NFT) {
    const nft = at(set) / at('none');
    report({
      what: `${link}: ${title}, nft set ${SETS[set]}`,
      measured: `${nft.toFixed(3)}x (${at(set).toFixed(digits)})`,
      ...(name === 'connect' ? { target: `< ${ratio.toFixed(3)}`, met: ratio > nft } : {}),
    });
  }
}

/** Who is in the set may, all else is dropped; `first` comes before that. */
function loadNft(netns: Netns, flags = '', first = ''): void {
  const addresses = Array.from({ length: 10_000 }, (_, i) => `10.${i >> 12}.${(i >> 4) & 255}.${(i & 15) + 1}`);
  const rules = (direction: string, key: string): string =>
    `chain ${direction} { type filter hook ${direction} priority 0; policy drop; ${first} ip ${key} @peers accept; }`;
  const text = `table ip bench {
    set peers { type ipv4_addr; ${flags} elements = { ${CLIENT_IP}, ${SERVER_IP}, 127.0.0.1, ${addresses.join(', ')} } }
    ${rules('input', 'saddr')}
    ${rules('output', 'daddr')}
  }`;
  execFileSync('nsenter', [`--net=${netns.path}`, 'nft', '-f', '-'], { input: text });
}

function attach(own: OwnKernel) {
  const world = loadWorld(undo, own);
  own.kernel.attachTracing();
  own.kernel.attachSockets();
  return { client: labelCgroup(own, 'client', CLIENT), server: labelCgroup(own, 'server', SERVER), ...world };
}
