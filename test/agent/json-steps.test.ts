/** A state or a report is put into text in steps. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { jsonSteps } from '../../src/agent/json-steps.ts';
import { runAtOnce } from '../../src/agent/steps.ts';

const test = suite('agent: JSON in steps');

const VALUES: object[] = [
  {},
  { a: 1, b: 'x"y', c: null, d: undefined, e: true },
  { list: [], lists: [[1], [2, [3]]], odd: [undefined, () => 0, null, { a: undefined }] },
  { deep: { list: [1, 2, { x: [] }] }, 'a key': [new Date(0)], e: 'ü\n' },
];

for (const value of VALUES)
  test(`the text is JSON.stringify's: ${JSON.stringify(value)}`, () => {
    assert.is(runAtOnce(jsonSteps(value)), JSON.stringify(value));
  });

test('each item of a long list is a step', () => {
  const steps = jsonSteps({ list: Array.from({ length: 1000 }, (_, i) => i) });
  let count = 0;
  while (!steps.next().done) count++;
  assert.ok(count >= 1000);
});

test.run();
