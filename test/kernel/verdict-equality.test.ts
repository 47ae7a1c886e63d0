// @timeout 180
/** One meaning, three engines: the oracle, the compiled tables, the kernel's own maps and code (BPF_PROG_TEST_RUN). */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PolicyCompiler } from '../../src/core/compile.ts';
import { lookupVerdict } from '../../src/core/compile-lookup.ts';
import type { Denial } from '../../src/core/denial.ts';
import { type IdentityId, isOutside } from '../../src/core/identity.ts';
import { type Connection, type SideVerdict, verdict } from '../../src/core/verdict.ts';
import type { World } from '../../src/core/world.ts';
import { IdentityWords } from '../../src/datapath/identity-words.ts';
import type { Kernel } from '../../src/datapath/kernel.ts';
import { PolicyApplier } from '../../src/datapath/policy-applier.ts';
import { probeVerdict } from '../../src/datapath/probe.ts';
import { RuleTable } from '../../src/datapath/rule-table.ts';
import { connectionsOf, world } from '../core/compile-world.ts';
import { type Case, readCase, readTable } from '../core/conformance-case.ts';
import { told } from '../e2e/wait.ts';
import { type OwnKernel, openKernel } from './own-kernel.ts';
import { countStale, dumpPolicy } from './policy-dump.ts';

const test = suite('verdict equality');
let walking: OwnKernel;
let fresh: OwnKernel;
let walker: Engine;

/** Compiler, applier and kernel in a row, as the agent has them. */
class Engine {
  readonly kernel: Kernel;
  readonly rules = new RuleTable();
  readonly compiler = new PolicyCompiler();
  readonly #applier: PolicyApplier;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.#applier = new PolicyApplier(kernel.maps, this.rules);
  }

  apply(to: World): void {
    const changed = this.compiler.update(to);
    this.#applier.apply({ changed, addresses: to.cidrs.map(({ prefix, id }) => ({ prefix, identity: id })) });
  }

  sweep(): void {
    this.#applier.sweep();
  }

  /** The kernel's answer in the oracle's words. Without a rule the kernel does not tell "allowed" from "not enforced". */
  side(direction: 'ingress' | 'egress', { from, to, fromAddress, toAddress, protocol, port }: Connection): SideVerdict {
    const [local, remote, address] = direction === 'egress' ? [from, to, toAddress] : [to, from, fromAddress];
    const answer = probeVerdict(this.kernel, {
      local,
      remote: isOutside(remote) && address !== undefined ? address : remote,
      direction,
      protocol,
      port: port ?? 0,
    });
    const rules = this.rules.names(answer.rule);
    if (answer.allow === 0) {
      const reason = { 181: 'POLICY_DENY', 133: 'POLICY_DENIED' }[answer.reason] as SideVerdict['reason'];
      return { verdict: 'DROPPED', reason, rules, denial: FEELS[answer.denial]! };
    }
    if (answer.reason !== 0) {
      const reason = { 181: 'POLICY_DENY', 133: 'POLICY_DENIED' }[answer.reason] as SideVerdict['reason'];
      return { verdict: 'AUDIT', reason, rules };
    }
    return { verdict: 'FORWARDED', reason: rules.length > 0 ? 'ALLOWED' : 'NOT_ENFORCED', rules };
  }
}

/** By what the kernel keeps beside a denial. */
const FEELS: Readonly<Record<number, Denial>> = { 0: 'eperm', 16: 'refused', 32: 'timeout' };

/** On a host whose default is EPERM. */
const here = (side: SideVerdict): SideVerdict =>
  side.verdict === 'DROPPED' ? { ...side, denial: side.denial ?? 'eperm' } : side;

test.before(
  told(async () => {
    walking = openKernel();
    fresh = openKernel();
    walker = new Engine(walking.kernel);
  }),
);

test.after(async () => {
  await walking?.destroy();
  await fresh?.destroy();
});

test('the kernel answers as the compiled tables and the oracle, with reason and rules, whatever world was before', () => {
  let probes = 0;
  fc.assert(
    fc.property(world, fc.nat(), (w, seed) => {
      walker.apply(w);
      const connections = connectionsOf(w).filter(isPossible);
      // A stride that is prime to the length visits a spread-out part of them.
      for (let n = 0, i = seed; n < 200; n++, i += 7919) probes += hold(w, connections[i % connections.length]!);
    }),
    { numRuns: 150 },
  );
  assert.ok(probes >= 50_000, `${probes} probes`);
});

for (const table of ['cilium-l3l4', 'k8s-networkpolicy'] as const)
  test(`${table}: the kernel gives the verdicts of the table`, () => {
    let probes = 0;
    for (const [i, row] of readTable<Case>(table).entries()) {
      if (table === 'k8s-networkpolicy' && i % 4 !== 0) continue;
      const read = readCase(row);
      if ('refused' in read) continue;
      walker.apply(read.world);
      for (const probe of row.probes) probes += hold(read.world, read.connection(probe));
    }
    assert.ok(probes > 5_000, `${probes} probes`);
  });

test('after any worlds, the maps hold what a kernel that knew only the last one holds', () => {
  fc.assert(
    fc.property(fc.array(world, { minLength: 2, maxLength: 4 }), (worlds) => {
      for (const step of worlds) walker.apply(step);
      walker.sweep();
      const { policy_l3, policy_l4, ip_host, ip_cidr } = fresh.kernel.maps;
      for (const map of [policy_l3, policy_l4, ip_host, ip_cidr]) map.clear();
      new IdentityWords(fresh.kernel.maps).clear();
      new Engine(fresh.kernel).apply(worlds.at(-1)!);
      assert.is(dumpPolicy(walking.kernel), dumpPolicy(fresh.kernel));
      assert.is(countStale(walking.kernel), 0);
    }),
    { numRuns: 40 },
  );
});

/** Who has no identity is nobody that a packet could come from, and a packet of ICMP has a type. */
function isPossible({ from, to, protocol, port }: Connection): boolean {
  if ((protocol === 1 || protocol === 58) && port === undefined) return false;
  return from !== (0 as IdentityId) && to !== (0 as IdentityId);
}

/** Both sides of one connection; the number of questions put to the kernel. */
function hold(w: World, connection: Connection): number {
  const oracle = verdict(w, connection);
  const compiled = lookupVerdict(walker.compiler.all(), connection);
  for (const side of ['egress', 'ingress'] as const) {
    const kernel = walker.side(side, connection);
    const equal = [oracle[side], compiled[side]].every((one) => JSON.stringify(here(one)) === JSON.stringify(kernel));
    if (!equal)
      assert.equal(
        { side, compiled: compiled[side], kernel },
        { side, compiled: oracle[side], kernel: here(oracle[side]) },
        JSON.stringify(connection),
      );
  }
  return 2;
}

test.run();
