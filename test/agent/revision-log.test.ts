/** Generations and times → the revision that a flow names. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { deciders, RevisionLog } from '../../src/agent/revision-log.ts';
import { FlowFlag } from '../../src/datapath/postern.skel.ts';

const test = suite('revision log');
const A = 65_792;
const B = 65_793;

/** Revision n is being applied from 100n to 100n + 10 ms. */
function log(...revisions: readonly (readonly [revision: number, flips: Readonly<Record<number, number>>])[]) {
  const made = new RevisionLog();
  let highest = 0;
  for (const [revision, flips] of revisions) {
    const list = Object.entries(flips).map(([identity, generation]) => ({ identity: Number(identity), generation }));
    highest = Math.max(highest, ...list.map(({ generation }) => generation));
    made.applied(revision, list, highest, revision * 100_000, revision * 100_000 + 10_000);
  }
  return made;
}

test('a generation is of the newest revision that left it alone and was whole by then', () => {
  const made = log([1, { [A]: 1 }], [2, { [B]: 2 }], [3, { [B]: 3 }], [4, { [A]: 4 }]);
  assert.is(made.of(1, [A, B], 150_000), 1);
  assert.is(made.of(1, [A, B], 205_000), 1, 'revision 2 is not whole yet');
  assert.is(made.of(1, [A, B], 210_000), 2);
  assert.is(made.of(1, [A, B], 399_000), 3);
  assert.is(made.of(1, [A, B], 470_000), 3, 'stamped late: its identity is past it');
  assert.is(made.of(4, [A, B], 402_000), 4, 'in the middle of the flips, the one that is coming');
  assert.is(made.of(2, [A, B], 305_000), 2);
});

test('who is not enforced is of the revision in force too', () => {
  const made = log([1, {}], [2, { [A]: 1 }], [3, {}], [4, { [A]: 0 }], [5, {}], [6, { [A]: 2 }]);
  assert.is(made.of(0, [A, 1], 150_000), 1);
  assert.is(made.of(0, [A, B], 205_000), 1, 'not enforced yet');
  assert.is(made.of(0, [A, B], 405_000), 4, 'not enforced any more');
  assert.is(made.of(0, [A, B], 520_000), 5);
  assert.is(made.of(0, [A, B], 605_000), 5);
  assert.is(made.of(0, [A, B], 350_000), 3, 'B decided, which never is');
  assert.is(made.of(0, [A], 620_000), 5, 'stamped late');
  assert.is(made.of(0, [A, B], 611_000), 5, 'stamped late, and A was open a moment ago');
});

test('what an earlier run left, and what is over for long, is of the revision that was last to have it', () => {
  const made = log([7, { [A]: 40 }], [8, { [A]: 41 }]);
  assert.is(made.of(12, [A, B], 900_000), 7);
  assert.is(log().of(3, [A, B], 100), undefined);
  const long = log(...Array.from({ length: 20_000 }, (_, i) => [i + 1, { [A]: i + 1 }] as const));
  assert.is(long.of(20_000, [A, B], 3e6), 20_000);
  assert.is(long.of(19_500, [A, B], 3e6), 19_500);
});

test('what comes in is judged by its receiver, what goes out by its sender, and by its receiver when that is on this host', () => {
  const ends = { source_id: A, destination_id: B };
  assert.equal(deciders({ direction: 1, flags: 0, ...ends }), [B]);
  assert.equal(deciders({ direction: 2, flags: FlowFlag.FLOW_BOTH, ...ends }), [A, B]);
  assert.equal(deciders({ direction: 2, flags: 0, ...ends }), [A]);
});

test.run();
