/**
 * Size. The most memory that a process takes which does nothing but compile 1000 policies x 10000 identities (with the
 * flags of ./postern), and how long 100 000 policy entries take into the kernel: from nothing, and all of them changed, both
 * slots filled and flipped. Beside it `nft -f` of one transaction that replaces a set of the same size.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type CompiledDirection,
  type CompiledIdentity,
  PolicyCompiler,
  type PortTable,
} from '../../src/core/compile.ts';
import { workloadIdentity } from '../../src/core/identity.ts';
import { IdentityWords } from '../../src/datapath/identity-words.ts';
import { PolicyApplier } from '../../src/datapath/policy-applier.ts';
import { RuleTable } from '../../src/datapath/rule-table.ts';
import { createNetns } from '../e2e/netns.ts';
import { openKernel } from '../kernel/own-kernel.ts';
import { makeWorld, type Shape } from './compile-world.ts';
import { report } from './row.ts';

const ENTRIES = 100_000;
const PEERS = 100;
const ROUNDS = Number(process.env.POSTERN_BENCH_ROUNDS ?? 5);

const shape = process.argv[2];
if (shape === undefined) {
  for (const one of ['sparse', 'world'] as const) memoryOf(one);
  await applyTimes();
  nftTimes();
} else {
  new PolicyCompiler().update(makeWorld(shape as Shape, 10_000));
  console.log(process.resourceUsage().maxRSS / 1000);
}

function memoryOf(one: Shape): void {
  const words = ['--max-semi-space-size=2', import.meta.filename, one];
  const env = { ...process.env, MALLOC_ARENA_MAX: '1' };
  const { stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8', env });
  const megabytes = Number(stdout.trim());
  if (!(megabytes > 0)) throw new Error(stderr);
  report({
    what: `compile 1000 x 10000, ${one}: most memory of the process`,
    measured: `${megabytes.toFixed(0)} MB`,
    target: '< 300 MB',
    met: megabytes < 300,
  });
}

async function applyTimes(): Promise<void> {
  const own = openKernel();
  try {
    const { maps } = own.kernel;
    const times = { fresh: [] as number[], changed: [] as number[], sweep: [] as number[] };
    for (let round = 0; round < ROUNDS; round++) {
      for (const map of [maps.policy_l3, maps.policy_l4]) map.clear();
      new IdentityWords(maps).clear();
      const applier = new PolicyApplier(maps, new RuleTable());
      times.fresh.push(timeOf(() => applier.apply({ changed: entries(80), addresses: [] })));
      times.changed.push(timeOf(() => applier.apply({ changed: entries(81), addresses: [] })));
      times.sweep.push(timeOf(() => applier.sweep()));
    }
    const best = (list: readonly number[]) => Math.min(...list);
    for (const [what, list] of [
      ['from nothing', times.fresh],
      ['all of them changed', times.changed],
    ] as const)
      report({
        what: `apply of 100000 entries to the kernel, ${what}`,
        measured: `${best(list).toFixed(0)} ms (median ${list.toSorted((a, b) => a - b)[list.length >> 1]!.toFixed(0)})`,
        target: '< 500 ms',
        met: best(list) < 500,
      });
    report({ what: 'afterwards, the old slots emptied', measured: `${best(times.sweep).toFixed(0)} ms` });
  } finally {
    await own.destroy();
  }
}

/** 1000 identities x 100 peers: half by ports, which makes tables of their own. */
function entries(port: number): Map<number, CompiledIdentity> {
  const table = (n: number): PortTable => ({
    entries: [{ protocol: 6, from: port + n, to: port + n, verdict: 'allow', rules: [`cnp/a/p${n} ingress[0]`] }],
    fallback: { verdict: 'deny', rules: ['default deny of cnp/a/p'] },
  });
  const tables = Array.from({ length: PEERS }, (_, n) => table(n));
  const other: PortTable = { entries: [], fallback: { verdict: 'deny', rules: [`default deny of cnp/a/p${port}`] } };
  const egress: CompiledDirection = { enforced: false, peers: new Map() };
  return new Map(
    Array.from({ length: ENTRIES / PEERS }, (_, i) => {
      const peers = new Map([[0, other]]);
      for (let n = 1; n < PEERS; n++) peers.set(workloadIdentity(256 + ((i + n) % 10_000)), tables[n]!);
      const id = workloadIdentity(256 + i);
      return [id, { id, ingress: { enforced: true, peers }, egress }] as const;
    }),
  );
}

function nftTimes(): void {
  const netns = createNetns(`pt-bench-${process.pid}`);
  const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'));
  try {
    for (const [what, flags] of [
      ['of addresses', ''],
      ['of prefixes', 'flags interval;'],
    ] as const) {
      const nft = (text: string): number => {
        const file = join(folder, 'rules');
        writeFileSync(file, text);
        return timeOf(() => execFileSync('ip', ['netns', 'exec', netns.name, 'nft', '-f', file]));
      };
      const elements = (first: number) =>
        Array.from({ length: ENTRIES }, (_, i) => `${first}.${i >> 16}.${(i >> 8) & 255}.${i & 255}`).join(',');
      const fill = (first: number) => `add element inet t s { ${elements(first)} }\n`;
      nft(`table inet t {\n set s {\n type ipv4_addr; ${flags}\n }\n}\n${fill(10)}`);
      const times = Array.from({ length: ROUNDS }, (_, i) => nft(`flush set inet t s\n${fill(11 + (i % 2))}`));
      report({
        what: `nft -f: a set ${what} of 100000 replaced`,
        measured: `${Math.min(...times).toFixed(0)} ms (median ${times.toSorted((a, b) => a - b)[times.length >> 1]!.toFixed(0)})`,
      });
      nft('delete table inet t\n');
    }
  } finally {
    netns.delete();
    rmSync(folder, { recursive: true, force: true });
  }
}

function timeOf(work: () => unknown): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}
