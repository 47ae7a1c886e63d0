// @timeout 90
/** Many starts that only user space can tell apart. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openStorm, type Storm } from './storm.ts';
import { told } from './wait.ts';

const test = suite('late storm');
let storm: Storm;

test.before(
  told(async () => {
    storm = await openStorm();
  }),
);
test.after(async () => {
  await storm?.destroy();
});

test('of 200 starts per second that differ by a regular expression each gets its own name, none a wrong one', async () => {
  const starts = await storm.starts(200, 1_000);
  const count = (tag: string, how: string) => starts.filter((start) => start.tag === tag && start.how === how).length;
  assert.equal(
    ['TAG-a', 'TAG-b'].map((tag) => ['right', 'wrong', 'never'].map((how) => count(tag, how))),
    [
      [500, 0, 0],
      [500, 0, 0],
    ],
  );
});

test.run();
