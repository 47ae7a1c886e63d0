import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { jsonDiff } from '../../src/core/json-diff.ts';
import { textDiff } from '../../src/core/text-diff.ts';

const test = suite('diff');

test('members that came, went and changed are listed by pointer, in order', () => {
  const before = { a: 1, b: { c: [1, 2], 'd/e': 'x' }, gone: null };
  const after = { a: 1, b: { c: [1, 3, 4], 'd/e': { y: 1 } }, come: true };
  assert.equal(jsonDiff(before, after), [
    { path: '/b/c/1', before: 2, after: 3 },
    { path: '/b/c/2', after: 4 },
    { path: '/b/d~1e', before: 'x', after: { y: 1 } },
    { path: '/gone', before: null },
    { path: '/come', after: true },
  ]);
  assert.equal(jsonDiff(before, structuredClone(before)), []);
});

test('a changed line stands in a hunk with three lines around it', () => {
  const text = (middle: string) => `${['a', 'b', 'c', 'd', middle, 'e', 'f', 'g', 'h'].join('\n')}\n`;
  assert.is(
    textDiff(text('old'), text('new'), ['4', '7']),
    '--- 4\n+++ 7\n@@ -2,7 +2,7 @@\n b\n c\n d\n-old\n+new\n e\n f\n g\n',
  );
  assert.is(textDiff('a\n', 'a\n', ['1', '2']), '');
});

test('the diff turns the old text into the new one, whatever they are', () => {
  const texts = fc.array(fc.constantFrom('a', 'b', 'c', '', '- x'), { maxLength: 40 });
  fc.assert(
    fc.property(texts, texts, (a, b) => {
      const [before, after] = [a, b].map((lines) => lines.map((line) => `${line}\n`).join('')) as [string, string];
      assert.is(patch(before, textDiff(before, after, ['a', 'b'])), after);
    }),
    { numRuns: 2000 },
  );
});

/** As patch(1) does, but where a line is not the one that the diff says, it throws. */
function patch(before: string, diff: string): string {
  if (diff === '') return before;
  const old = before.split('\n').slice(0, -1);
  const result: string[] = [];
  let at = 0;
  for (const line of diff.split('\n').slice(2, -1)) {
    const hunk = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@$/.exec(line);
    if (hunk !== null) {
      const [, first, count = '1', newFirst, newCount = '1'] = hunk;
      const from = Number(first) - (count === '0' ? 0 : 1);
      result.push(...old.slice(at, from));
      at = from;
      assert.is(result.length, Number(newFirst) - (newCount === '0' ? 0 : 1));
      continue;
    }
    if (line.startsWith('+')) result.push(line.slice(1));
    else assert.is(line.slice(1), old[at++]);
    if (line.startsWith(' ')) result.push(line.slice(1));
  }
  return [...result, ...old.slice(at)].map((line) => `${line}\n`).join('');
}

test.run();
