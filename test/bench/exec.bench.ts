/** What a process start costs: without Postern, and with it and 1000 argument patterns; 4 and 45 arguments. The programs that the agent knows by default are in the tables too. */
import { readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { DEFAULT_GATEWAYS, EXECUTORS, FAILSAFE_EXECUTABLES } from '../../src/core/gateways.ts';
import { workloadIdentity } from '../../src/core/identity.ts';
import { compileMatch, type RegisteredWorkload } from '../../src/core/match-program.ts';
import { MatchApplier } from '../../src/datapath/match-applier.ts';
import { openKernel } from '../kernel/own-kernel.ts';
import { buildLoad, CPU } from './load.ts';
import { report } from './row.ts';

const PATTERNS = 1000;
const ROUNDS = 3;
const STARTS = 40;
/** By number of arguments. */
const TARGETS = [
  [4, 1.05],
  [45, 1.08],
] as const;
const load = buildLoad();
const own = openKernel();
try {
  const workloads: RegisteredWorkload[] = Array.from({ length: PATTERNS }, (_, i) => ({
    namespace: 'bench',
    name: `app${i}`,
    labels: { app: `app${i}` },
    match: [{ process: { exe: '/usr/bin/true', args: [`--instance-${i}=*`] } }],
    identity: workloadIdentity(256 + i),
    createdRevision: i,
  }));
  const program = compileMatch(workloads, { uids: new Map(), paths: new Map() });
  new MatchApplier(own.kernel.maps).apply(program, {
    gateways: DEFAULT_GATEWAYS.values(),
    failsafe: FAILSAFE_EXECUTABLES,
    executors: EXECUTORS,
  });
  console.log(`${program.clauses.length} clauses in the kernel`);
  const cgroup = own.makeCgroup('starter');
  const best = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round++)
    for (const config of ['without', 'with']) {
      if (config === 'with') own.kernel.attachTracing();
      else for (const name of linkNames()) unlinkSync(join(own.pinDir, 'links', name));
      for (const count of [4, 45]) {
        const us = await load.measure(['exec', CPU, count, STARTS], { cgroup });
        const key = `${config} ${count}`;
        best.set(key, Math.min(us, best.get(key) ?? us));
      }
    }
  for (const [count, target] of TARGETS) {
    const [without, withIt] = [best.get(`without ${count}`)!, best.get(`with ${count}`)!];
    report({
      what: `exec with ${count} arguments, ${PATTERNS} patterns`,
      measured: `${(withIt / without).toFixed(3)}x (${without.toFixed(0)} to ${withIt.toFixed(0)} µs)`,
      target: `<= ${target}x`,
      met: withIt / without <= target,
    });
  }
} finally {
  await own.destroy();
  load.delete();
}

function linkNames(): string[] {
  return readdirSync(join(own.pinDir, 'links'));
}
