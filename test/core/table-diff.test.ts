import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type AppliedRule, buildTable, lookupPort } from '../../src/core/policy-table.ts';
import { ALLOW_ALL, tableDiff } from '../../src/core/table-diff.ts';

const test = suite('table diff');
const rule = (name: string, deny: boolean, protocol?: number, from = 0, to = 65535): AppliedRule => ({
  name,
  deny,
  ...(protocol !== undefined && { ports: [{ protocol, from, to }] }),
});

test('a port that is closed is one range; a rule of another name is none', () => {
  const before = buildTable([rule('a', false, 6, 80, 90)], { name: 'dd' });
  const after = buildTable([rule('b', false, 6, 80, 85)], { name: 'dd' });
  assert.equal(tableDiff(before, after), [
    { protocol: 6, from: 86, to: 90, before: 'allow', after: 'deny', rules: ['dd'], rulesBefore: ['a'] },
  ]);
});

test('default deny where nothing was enforced: everything but the ports that stay open', () => {
  const after = buildTable([rule('a', false, 6, 80, 80)], { name: 'dd' });
  assert.equal(tableDiff(ALLOW_ALL, after), [
    {
      from: 0,
      to: 65535,
      before: 'allow',
      after: 'deny',
      rules: ['dd'],
      rulesBefore: [],
      except: [{ protocol: 6, from: 80, to: 80 }],
    },
  ]);
});

test('it says exactly where lookups differ', () => {
  const rules = fc.array(
    fc.record({
      deny: fc.boolean(),
      protocol: fc.constantFrom(6, 17, undefined),
      from: fc.constantFrom(0, 1, 80, 443, 65535),
      size: fc.constantFrom(0, 1, 363, 65535),
    }),
    { maxLength: 4 },
  );
  const toTable = (list: { deny: boolean; protocol: number | undefined; from: number; size: number }[], dd: boolean) =>
    buildTable(
      list.map(({ deny, protocol, from, size }, i) =>
        rule(`r${i}`, deny, protocol, from, Math.min(65535, from + size)),
      ),
      dd ? { name: 'dd' } : undefined,
    );
  fc.assert(
    fc.property(rules, rules, fc.boolean(), fc.boolean(), (a, b, ddA, ddB) => {
      const [before, after] = [toTable(a, ddA), toTable(b, ddB)];
      const diff = tableDiff(before, after);
      const named = new Set([...before.entries, ...after.entries].map(({ protocol }) => protocol));
      for (const protocol of [6, 17, 99]) {
        for (const port of [0, 1, 2, 79, 80, 81, 443, 444, 806, 65534, 65535]) {
          const [was, is] = [lookupPort(before, protocol, port), lookupPort(after, protocol, port)];
          const own = diff.find((range) => range.protocol === protocol && range.from <= port && port <= range.to);
          const rest = diff.find((range) => range.protocol === undefined);
          if (was.verdict === is.verdict) {
            assert.is(own, undefined);
            const isExcepted = rest?.except?.some(
              (range) => range.protocol === protocol && range.from <= port && port <= range.to,
            );
            if (rest !== undefined) assert.ok(isExcepted);
          } else {
            const said = own ?? rest;
            assert.equal([said?.before, said?.after], [was.verdict, is.verdict]);
            if (!named.has(protocol)) assert.is(own, undefined);
          }
        }
      }
    }),
    { numRuns: 500 },
  );
});

test.run();
