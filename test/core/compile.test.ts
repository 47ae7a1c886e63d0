// @timeout 120
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PolicyCompiler } from '../../src/core/compile.ts';
import { lookupVerdict } from '../../src/core/compile-lookup.ts';
import { verdict } from '../../src/core/verdict.ts';
import type { World } from '../../src/core/world.ts';
import { connectionsOf, world } from './compile-world.ts';

test('the compiled tables give the verdict of the oracle, with reason and rules, for every connection', () => {
  fc.assert(
    fc.property(world, fc.nat(), (w, seed) => {
      const compiler = new PolicyCompiler();
      compiler.update(w);
      const connections = connectionsOf(w);
      // A stride that is prime to the length visits a spread-out part of them.
      for (let n = 0, i = seed; n < 400; n++, i += 7919) {
        const connection = connections[i % connections.length]!;
        const expected = verdict(w, connection);
        const actual = lookupVerdict(compiler.all(), connection);
        if (!isDeepStrictEqual(actual, expected)) assert.equal(actual, expected, JSON.stringify(connection));
      }
    }),
    { numRuns: 150 },
  );
});

test('whatever the order of changes, the end is the same, and each change is reported', () => {
  fc.assert(
    fc.property(fc.array(world, { minLength: 2, maxLength: 5 }), (worlds) => {
      const walking = new PolicyCompiler();
      let known = new Map<number, unknown>();
      for (const next of worlds) {
        for (const step of stepsTo(next)) {
          for (const [id, identity] of walking.update(step)) {
            if (identity) known.set(id, identity);
            else known.delete(id);
          }
          assert.ok(isDeepStrictEqual(new Map(walking.all()), known), 'a change was not reported');
        }
        const fresh = new PolicyCompiler();
        fresh.update(next);
        assert.equal([...walking.all()], [...fresh.all()]);
        known = new Map(walking.all());
      }
    }),
    { numRuns: 150 },
  );
});

/** The way to a world in pieces: identities before policies, then half of the policies, then all. */
function stepsTo(next: World): World[] {
  return [
    { ...next, policies: [] },
    { ...next, policies: next.policies.slice(0, next.policies.length / 2), identities: next.identities.slice(1) },
    { ...next, policies: next.policies.toReversed(), identities: next.identities.toReversed() },
    next,
  ];
}

test('the same world again changes nothing, also when it is parsed anew', () => {
  fc.assert(
    fc.property(world, (w) => {
      const compiler = new PolicyCompiler();
      compiler.update(w);
      assert.is(compiler.update(structuredClone(w)).size, 0);
    }),
    { numRuns: 50 },
  );
});

test('tables are canonical: disjoint, sorted, nothing that the fallback or a neighbour says', () => {
  fc.assert(
    fc.property(world, (w) => {
      const compiler = new PolicyCompiler();
      compiler.update(w);
      for (const { ingress, egress } of compiler.all().values()) {
        for (const direction of [ingress, egress]) {
          assert.is(direction.peers.has(0), direction.enforced);
          assert.equal(
            [...direction.peers.keys()],
            [...direction.peers.keys()].sort((a, b) => a - b),
          );
          for (const { entries, fallback } of direction.peers.values()) {
            for (const [i, entry] of entries.entries()) {
              const last = entries[i - 1];
              assert.ok(entry.from <= entry.to && entry.to <= 65535);
              assert.not.equal([entry.verdict, entry.rules], [fallback.verdict, fallback.rules]);
              if (last?.protocol !== entry.protocol) continue;
              assert.ok(last.to < entry.from);
              if (last.to + 1 === entry.from)
                assert.not.equal([last.verdict, last.rules], [entry.verdict, entry.rules]);
            }
          }
        }
      }
    }),
    { numRuns: 100 },
  );
});

test('equal tables are one object', () => {
  fc.assert(
    fc.property(world, (w) => {
      const compiler = new PolicyCompiler();
      compiler.update(w);
      const tables = new Set(
        [...compiler.all().values()].flatMap(({ ingress, egress }) => [
          ...ingress.peers.values(),
          ...egress.peers.values(),
        ]),
      );
      assert.is(new Set([...tables].map((table) => JSON.stringify(table))).size, tables.size);
    }),
    { numRuns: 50 },
  );
});

test.run();
