import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runFile } from './run-file.ts';
import { parseSkips, unexcusedSkips } from './skips.ts';

const passing = `console.log('  Total:     2\\n  Passed:    2\\n  Skipped:   0');`;
const rows: readonly [claim: string, source: string, passed: number, failed: number, says: RegExp][] = [
  ['totals are read', passing, 2, 0, /Total/],
  ['the last totals count', `console.log('  Total:     9\\n  Passed:    1');${passing}`, 2, 0, /Total/],
  [
    'a failed test is counted',
    `console.log('  Total:     3\\n  Passed:    2\\n  Skipped:   0'); process.exit(1);`,
    2,
    1,
    /Total/,
  ],
  ['no totals is a failure', 'console.log(1);', 0, 1, /printed no totals/],
  ['no test is a failure', `console.log('  Total:     0\\n  Passed:    0\\n  Skipped:   0');`, 0, 1, /holds no test/],
  ['a bad exit after good tests is a failure', `${passing} process.exit(3);`, 2, 1, /ended with 3/],
  ['death by signal is a failure', `${passing} process.kill(process.pid, 'SIGKILL');`, 2, 1, /ended with SIGKILL/],
  ['over its time is a failure', `// @timeout 1\n${passing} setInterval(() => {}, 1000);`, 2, 1, /not done after 1 s/],
  [
    'a process left behind is a failure, by its name',
    `${passing} const { spawn } = await import('node:child_process'); spawn('sleep', ['97'], { detached: true, stdio: 'ignore' }).unref();`,
    2,
    1,
    /left running: \d+ sleep 97/,
  ],
];

for (const [claim, source, passed, failed, says] of rows) {
  test(claim, async () => {
    const root = mkdtempSync(join(tmpdir(), 'postern-run-'));
    try {
      writeFileSync(join(root, 'x.mjs'), source);
      const result = await runFile({ root, path: 'x.mjs' });
      assert.is(result.passed, passed);
      assert.is(result.failed, failed);
      assert.match(result.output, says);
    } finally {
      rmSync(root, { recursive: true });
    }
  });
}

test('a skip is read with its reason, and other output is not', () => {
  assert.equal(parseSkips('f', 'SKIP a b: kernel: needs 6.9 (x)\nSKIP: no\n• SKIP c: because\n'), [
    { file: 'f', name: 'a b', reason: 'kernel: needs 6.9 (x)' },
  ]);
});

test('a kernel that has the feature does not excuse the skip', () => {
  const skip = { file: 'f', name: 'n', reason: 'kernel: needs 6.9 (x)' };
  const excused = (running: string) => unexcusedSkips([skip], running).length === 0;
  assert.equal(['6.8.12', '5.15.0', '6.9.0', '6.10.1', '7.0'].map(excused), [true, true, false, false, false]);
});

test.run();
