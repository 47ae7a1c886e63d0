/**
 * What the rules against bypasses cost (bpf/README.md), beside a datapath without them and beside none: the same client and
 * server, pinned to one CPU, in slices that alternate between
 *   none     a cgroup without programs; the tracepoint of connections is taken away for the slice
 *   without  the same object, maps and policies, without the programs that are there for these rules alone: on_egress (every packet that
 *            leaves is looked at), on_bind4 and on_bind6 (ports are owned), on_device (no tun). What remains judges in connect and
 *            sendmsg and at the listener, as the design first had it. The rest of the rules are conditions inside of those programs (the
 *            ingress hook asks the socket's state instead of parsing for a SYN, labels stick): they stay, and cost what they cost in both
 *   with     everything, as it ships
 * Then the size of each program: instructions that the verifier walked (with every path), that were loaded, and bytes of machine code.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { SOCKET_PROGRAMS, TRACING_PROGRAMS } from '../../src/datapath/hooks.ts';
import { type RunOptions, serve } from '../e2e/run-in.ts';
import { type OwnKernel, openKernel } from '../kernel/own-kernel.ts';
import { labelCgroup } from './label-cgroup.ts';
import { buildLoad, CPU } from './load.ts';
import { report } from './row.ts';
import {
  Best,
  type Ends,
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

const ROUNDS = Number(process.env.POSTERN_BENCH_ROUNDS ?? 21);
const RULE_PROGRAMS: readonly string[] = ['on_egress', 'on_bind4', 'on_bind6', 'on_device'];
const CONFIGS = ['none', 'without', 'with'] as const;
type Config = (typeof CONFIGS)[number];
const FIGURES = [
  { name: 'connect', title: 'connects per second', unit: '/s', higher: true, target: 0.9 },
  { name: 'tcp_rr', title: 'TCP request and response, p50', unit: ' µs', higher: false, target: 1.04 },
  { name: 'udp_rr', title: 'UDP request and response, p50', unit: ' µs', higher: false, target: 1.1 },
] as const;
const OF_WITHOUT = 0.97;

leaveMeasuredCpu();
const load = buildLoad();
const undo: Undo = [load.delete];
try {
  const pair = makePair(undo, 'r');
  const own = openKernel();
  undo.push(() => own.destroy());
  const world = loadWorld(undo, own);
  for (const name of TRACING_PROGRAMS) if (name !== 'on_state') keep(own, name);
  const cgroups: Record<Config, Ends<string>> = {
    none: makeBareCgroups(undo, own.mount, 3),
    without: attached(own, 'without', (name) => !RULE_PROGRAMS.includes(name)),
    with: attached(own, 'with', () => true),
  };
  for (const link of ['veth', 'loopback'] as const) await measure(own, link, cgroups, pair);
  console.log(`events decoded ${world.decoded()}, denied ${world.denied()}`);
  for (const name of [...SOCKET_PROGRAMS, ...TRACING_PROGRAMS, 'on_setsockopt', 'guard_egress'].sort()) {
    const { verifiedInstructions, instructions, machineBytes } = own.kernel.programs.program(name).info();
    report({
      what: `program ${name}${RULE_PROGRAMS.includes(name) ? ' (for the rules)' : ''}`,
      measured: `${verifiedInstructions} verified, ${instructions} loaded, ${machineBytes} bytes`,
    });
  }
} finally {
  for (const step of undo.reverse()) await step();
}

function keep(own: OwnKernel, name: string): void {
  const link = own.kernel.programs.program(name).attach();
  undo.push(() => link.close());
}

/** Client and server of one configuration, with the programs that `wanted` takes. */
function attached(own: OwnKernel, config: Config, wanted: (name: string) => boolean): Ends<string> {
  const folder = join(own.cgroupDir, config);
  mkdirSync(folder);
  for (const name of SOCKET_PROGRAMS.filter(wanted)) {
    const link = own.kernel.programs.program(name).attachCgroup(folder);
    undo.push(() => link.close());
  }
  return {
    client: labelCgroup(own, `${config}/client`, CLIENT),
    server: labelCgroup(own, `${config}/server`, SERVER),
  };
}

async function measure(
  own: OwnKernel,
  link: 'veth' | 'loopback',
  cgroups: Record<Config, Ends<string>>,
  pair: ReturnType<typeof makePair>,
): Promise<void> {
  const ip = link === 'veth' ? SERVER_IP : '127.0.0.1';
  const where = (config: Config, side: 'client' | 'server'): RunOptions => ({
    netns: pair[link === 'veth' ? side : 'server'].path,
    cgroup: cgroups[config][side],
  });
  const port = (config: Config): number => PORT + 2 * CONFIGS.indexOf(config);
  let tracing = own.kernel.programs.program('on_state').attach();
  const servers = await Promise.all(
    CONFIGS.map((config) =>
      serve([load.path, 'serve', String(CPU), ip, String(port(config))], /ready/, where(config, 'server')),
    ),
  );
  const best = new Best();
  try {
    for (let round = 0; round < ROUNDS; round++)
      for (const figure of FIGURES)
        for (let i = 0; i < CONFIGS.length; i++) {
          const config = CONFIGS[(i + round) % CONFIGS.length]!;
          if (config === 'none') tracing.close();
          best.take(
            figure,
            config,
            await load.measure([figure.name, CPU, ip, port(config), SLICE], where(config, 'client')),
          );
          if (config === 'none') tracing = own.kernel.programs.program('on_state').attach();
        }
  } finally {
    for (const server of servers) server.kill('SIGKILL');
    tracing.close();
  }
  for (const figure of FIGURES) {
    const { title, unit, higher, target } = figure;
    const [none, without, now] = CONFIGS.map((config) => best.of(figure, config)) as [number, number, number];
    const digits = higher ? 0 : 2;
    report({
      what: `${link}: ${title}, beside none`,
      measured: `${(now / none).toFixed(3)}x (${now.toFixed(digits)} to ${none.toFixed(digits)}${unit})`,
      target: `${higher ? '>=' : '<='} ${target.toFixed(2)}`,
      met: higher ? now / none >= target : now / none <= target,
    });
    const part = higher ? now / without : without / now;
    report({
      what: `${link}: ${title}, beside without the rules`,
      measured: `${part.toFixed(3)} of it (${without.toFixed(digits)}${unit})`,
      target: `>= ${OF_WITHOUT}`,
      met: part >= OF_WITHOUT,
    });
  }
}
