import { spawnSync } from 'node:child_process';
import type { FileResult } from './run-file.ts';

/** A command that must succeed before the tests mean anything; its failure is shown and counted, and the tests still run. */
export function runStep(root: string, name: string, command: string, args: readonly string[]): FileResult {
  const begin = performance.now();
  const done = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    env: { ...process.env, NO_COLOR: '1' },
  });
  const ok = done.status === 0;
  const output = `${done.stdout ?? ''}${done.stderr ?? ''}${done.error?.message ?? ''}`;
  return {
    path: name,
    passed: ok ? 1 : 0,
    failed: ok ? 0 : 1,
    skipped: 0,
    seconds: (performance.now() - begin) / 1000,
    output,
    skips: [],
  };
}
