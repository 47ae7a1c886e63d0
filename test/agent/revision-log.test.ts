/** Generations and times → the revision that a flow names. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RevisionLog } from '../../src/agent/revision-log.ts';

const test = suite('revision log');
const A = 65_792;
const B = 65_793;

/** Revision n is being applied from 100n to 100n + 10. */
function log(...revisions: readonly (readonly [revision: number, flips: Readonly<Record<number, number>>])[]) {
  const made = new RevisionLog();
  let highest = 0;
  for (const [revision, flips] of revisions) {
    const list = Object.entries(flips).map(([identity, generation]) => ({ identity: Number(identity), generation }));
    highest = Math.max(highest, ...list.map(({ generation }) => generation));
    made.applied(revision, list, highest, revision * 100, revision * 100 + 10);
  }
  return made;
}

test('a generation is of the newest revision that left it alone and was whole by then', () => {
  const made = log([1, { [A]: 1 }], [2, { [B]: 2 }], [3, { [B]: 3 }], [4, { [A]: 4 }]);
  assert.is(made.of(1, [A, B], 150), 1);
  assert.is(made.of(1, [A, B], 205), 1, 'revision 2 is not whole yet');
  assert.is(made.of(1, [A, B], 210), 2);
  assert.is(made.of(1, [A, B], 399), 3);
  assert.is(made.of(1, [A, B], 470), 3, 'stamped late: its identity is past it');
  assert.is(made.of(4, [A, B], 402), 4, 'in the middle of the flips, the one that is coming');
  assert.is(made.of(2, [A, B], 305), 2);
});

test('who is not enforced is of the revision in force too', () => {
  const made = log([1, {}], [2, { [A]: 1 }], [3, {}], [4, { [A]: 0 }], [5, {}], [6, { [A]: 2 }]);
  assert.is(made.of(0, [A, 1], 150), 1);
  assert.is(made.of(0, [A, B], 205), 1, 'not enforced yet');
  assert.is(made.of(0, [A, B], 405), 4, 'not enforced any more');
  assert.is(made.of(0, [A, B], 520), 5);
  assert.is(made.of(0, [A, B], 605), 5);
  assert.is(made.of(0, [A, B], 350), 3, 'B decided, which never is');
  assert.is(made.of(0, [A], 620), 5, 'stamped late');
});

test('what an earlier run left, and what is over for long, is of the revision that was last to have it', () => {
  const made = log([7, { [A]: 40 }], [8, { [A]: 41 }]);
  assert.is(made.of(12, [A, B], 900), 7);
  assert.is(log().of(3, [A, B], 100), undefined);
  const long = log(...Array.from({ length: 20_000 }, (_, i) => [i + 1, { [A]: i + 1 }] as const));
  assert.is(long.of(20_000, [A, B], 3e6), 20_000);
  assert.is(long.of(19_500, [A, B], 3e6), 19_500);
});

test.run();
