// A test that cannot run here says so in words. The runner lists every reason, and holds
// `kernel: needs 6.9 …` against the running kernel: a skip that this kernel does not excuse is a failure.
import type { Test } from 'uvu';

/**
 * Registers `name` as skipped. `reason` begins with what is missing: `kernel: needs 6.9 (what)`, `root: …`,
 * `package: …`. Prints the line `SKIP <name>: <reason>` that the runner reads.
 */
export function skip<T>(test: Test<T>, name: string, reason: string): void {
  console.log(`SKIP ${name}: ${reason}`);
  test.skip(name, () => {});
}
