/**
 * Compile time of 1000 policies x 1000 and x 10000 identities: from nothing, with one policy changed, and with one
 * identity more. Prints milliseconds, the best and the median of some rounds. Dense worlds have 1000 identities only:
 * their result grows with the square.
 */

import { PolicyCompiler } from '../../src/core/compile.ts';
import { makeIdentity, makePolicy, makeWorld, POLICIES, SHAPES, type Shape } from './compile-world.ts';
import { report } from './row.ts';

for (const shape of SHAPES) measure(shape, 1000, 15, { full: 300, 'one policy changed': 30, 'one identity more': 20 });
measure('sparse', 10_000, 3, { full: 2000, 'one policy changed': 50, 'one identity more': 20 });
measure('world', 10_000, 3, { full: 2000, 'one policy changed': 50, 'one identity more': 20 });

/** @param limits what is measured → ms */
function measure(shape: Shape, size: number, rounds: number, limits: Readonly<Record<string, number>>): void {
  const world = makeWorld(shape, size);
  const changed = {
    ...world,
    policies: world.policies.map((policy, i) => (i === 500 ? makePolicy(shape, i, 4443, size) : policy)),
  };
  const grown = { ...world, identities: [...world.identities, makeIdentity(shape, size)] };
  const times: Record<string, number[]> = {
    full: [],
    'one policy changed': [],
    'one identity more': [],
    'nothing changed': [],
  };
  for (let round = 0; round < rounds; round++) {
    const compiler = new PolicyCompiler();
    times.full!.push(timeOf(() => compiler.update(world)));
    times['nothing changed']!.push(timeOf(() => compiler.update({ ...world })));
    times['one policy changed']!.push(timeOf(() => compiler.update(changed)));
    compiler.update(world);
    times['one identity more']!.push(timeOf(() => compiler.update(grown)));
  }
  const compiler = new PolicyCompiler();
  compiler.update(world);
  const sides = [...compiler.all().values()].flatMap(({ ingress, egress }) => [ingress, egress]);
  const peers = sides.reduce((sum, side) => sum + side.peers.size, 0);
  const tables = new Set(sides.flatMap((side) => [...side.peers.values()])).size;
  const megabytes = process.memoryUsage().rss / 1e6;
  console.log(
    `${shape}: ${world.policies.length} policies, ${world.identities.length} identities, ${world.cidrs.length} prefixes → ${peers} peers, ${tables} tables, ${megabytes.toFixed(0)} MB resident`,
  );
  for (const [name, limit] of Object.entries(limits)) {
    const best = Math.min(...times[name]!);
    report({
      what: `compile ${POLICIES} x ${size}, ${shape}: ${name}`,
      measured: `${best.toFixed(1)} ms`,
      target: `< ${limit} ms`,
      met: best < limit,
    });
  }
  for (const [name, list] of Object.entries(times)) {
    const sorted = list.toSorted((a, b) => a - b);
    console.log(
      `  ${name.padEnd(20)} best ${sorted[0]!.toFixed(1)} ms, median ${sorted[sorted.length >> 1]!.toFixed(1)} ms, first ${list[0]!.toFixed(1)} ms`,
    );
  }
}

function timeOf(work: () => unknown): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}
