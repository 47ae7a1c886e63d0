import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parsePolicy, UNDERSTOOD } from '../../src/core/policy.ts';
import { readTable } from './conformance-case.ts';
import { cnp } from './policy-document.ts';

const documents = ['cilium-l3l4', 'cilium-l7', 'cilium-validity'].flatMap((table) =>
  readTable<{ policies: readonly unknown[] }>(table).flatMap(({ policies }) => policies),
);

/** A document with one of its parts replaced by something else. */
const broken = fc
  .tuple(
    fc.constantFrom(...documents),
    fc.nat(),
    fc.oneof(fc.jsonValue(), fc.constantFrom(null, '', 0, -1, {}, [], [{}], [null])),
  )
  .map(([document, where, what]) => replace(structuredClone(document), where, what));

function replace(document: unknown, where: number, what: unknown): unknown {
  const places: { holder: Record<string, unknown>; key: string }[] = [];
  const walk = (value: unknown) => {
    if (typeof value !== 'object' || value === null) return;
    for (const [key, member] of Object.entries(value)) {
      places.push({ holder: value as Record<string, unknown>, key });
      walk(member);
    }
  };
  walk(document);
  const { holder, key } = places[where % places.length]!;
  holder[key] = what;
  return document;
}

test('no document makes the parser throw; what is refused has a reason, and the input stays as it was', () => {
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), broken), (document) => {
      const before = JSON.stringify(document);
      const parsed = parsePolicy(document, UNDERSTOOD);
      assert.is(JSON.stringify(document), before);
      if (parsed.ok) return;
      assert.ok(parsed.errors.length > 0);
      assert.ok(parsed.status === 400 || parsed.status === 422);
      for (const { path, message } of parsed.errors) {
        assert.ok(path === '' || path.startsWith('/'), path);
        assert.ok(message.length > 0);
      }
    }),
    { numRuns: 2000 },
  );
});

test('a path leads to the offending value or key', () => {
  fc.assert(
    fc.property(broken, (document) => {
      const parsed = parsePolicy(document, UNDERSTOOD);
      for (const { path, value } of parsed.ok ? [] : parsed.errors) {
        if (value === undefined) continue;
        const keys = path
          .split('/')
          .slice(1)
          .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
        const found = keys.reduce<unknown>((at, key) => (at as Record<string, unknown>)?.[key], document);
        // A key that is refused is its own value; too long a list is refused with its length.
        const named = [found, keys.at(-1), Array.isArray(found) ? found.length : undefined].map((x) =>
          JSON.stringify(x),
        );
        assert.ok(named.includes(JSON.stringify(value)), `${path} holds ${named[0]}, not ${JSON.stringify(value)}`);
      }
    }),
    { numRuns: 1000 },
  );
});

test('a document with very many errors is refused with the first hundred', () => {
  const parsed = parsePolicy(cnp(Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`ingres${i}`, 1]))));
  assert.ok(!parsed.ok);
  assert.is(parsed.errors.length, 100);
});

test.run();
