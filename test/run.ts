// The test runner: steps (format, types, BPF object), then every *.test.ts in a process of its own, then a look
// at what was left behind. Arguments keep the files whose path contains one of them. Each file's first lines may
// raise its time limit: `// @timeout 300` (seconds). The last line is `N passed, N failed, N skipped`.
import { globSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { findLeftovers, type Leftovers, snapshotMachine } from './run/leftovers.ts';
import { type FileResult, type RunFile, runFile } from './run/run-file.ts';
import { runStep } from './run/run-step.ts';
import { unexcusedSkips } from './run/skips.ts';

const root = join(import.meta.dirname, '..');
const filters = process.argv.slice(2);
const results: FileResult[] = [];

/** In this order; a stage's files run `atOnce` at a time. What changes the kernel runs alone. */
const stages: readonly { name: string; atOnce: number; needsRoot: boolean; holds: (path: string) => boolean }[] = [
  {
    name: 'pure',
    atOnce: Math.min(2, cpus().length),
    needsRoot: false,
    holds: (path) => !/^(test\/(server|cli|agent|datapath|kernel|e2e|systemd)|src\/libbpf-ts)\//.test(path),
  },
  { name: 'server', atOnce: 1, needsRoot: false, holds: (path) => /^test\/(server|cli)\//.test(path) },
  {
    name: 'kernel',
    atOnce: 1,
    needsRoot: true,
    holds: (path) => /^(test\/(agent|datapath|kernel)|src\/libbpf-ts)\//.test(path),
  },
  { name: 'e2e', atOnce: 1, needsRoot: true, holds: (path) => path.startsWith('test/e2e/') },
  { name: 'systemd', atOnce: 1, needsRoot: true, holds: (path) => path.startsWith('test/systemd/') },
];

const before = snapshotMachine();
const bin = (name: string) => join(root, 'node_modules', '.bin', name);
for (const [name, command, ...args] of [
  ['format and lint', bin('biome'), 'check', '--diagnostic-level=error'],
  ['bpf object', process.execPath, 'scripts/build-bpf.mjs'],
  ['types', bin('tsc'), '--noEmit', '-p', 'tsconfig.json'],
] as const) {
  report(await runStep(root, name, command, args));
}

const files = globSync(['test/**/*.test.ts', 'src/libbpf-ts/test/**/*.test.ts'], { cwd: root })
  .filter((path) => filters.length === 0 || filters.some((word) => path.includes(word)))
  .sort();
for (const stage of stages) {
  const queue = files.filter(stage.holds);
  const worker = async () => {
    for (let path = queue.shift(); path; path = queue.shift()) {
      const file: RunFile = { root, path };
      report(stage.needsRoot && process.getuid?.() !== 0 ? withoutRoot(path) : await runFile(file));
    }
  };
  await Promise.all(Array.from({ length: stage.atOnce }, worker));
}
if (filters.length > 0 && files.length === 0) report(failed(`no test file matches ${filters.join(' ')}`));

const leftovers = findLeftovers(before);
if (leftovers.length > 0) report(failed('left behind', leftoverText(leftovers)));

const skips = results.flatMap((result) => result.skips);
for (const { file, name, reason } of skips) console.log(`skipped: ${file}: ${name}: ${reason}`);
for (const skip of unexcusedSkips(skips))
  report(failed(`${skip.file}: ${skip.name}`, `skipped, but this kernel has it: ${skip.reason}`));

const sum = (of: (result: FileResult) => number) => results.reduce((total, result) => total + of(result), 0);
const failures = sum((result) => result.failed);
for (const result of results) if (result.failed > 0) console.log(`failed: ${result.path}`);
console.log(`${sum((result) => result.passed)} passed, ${failures} failed, ${sum((result) => result.skipped)} skipped`);
process.exit(failures > 0 ? 1 : 0);

function report(result: FileResult): void {
  results.push(result);
  const skipped = result.skipped > 0 ? `, ${result.skipped} skipped` : '';
  const counts =
    result.failed > 0 ? `${result.failed} FAILED of ${result.passed + result.failed}` : `${result.passed} passed`;
  console.log(
    `${result.failed > 0 ? 'FAIL' : 'ok  '} ${result.path}  ${counts}${skipped}  ${result.seconds.toFixed(1)} s`,
  );
  if (result.failed > 0) console.log(result.output.trimEnd().replace(/^/gm, '     | '));
}

function failed(path: string, output = ''): FileResult {
  return { path, passed: 0, failed: 1, skipped: 0, seconds: 0, output, skips: [] };
}

function withoutRoot(path: string): FileResult {
  const skips = [{ file: path, name: 'whole file', reason: 'root: changes the kernel' }];
  return { path, passed: 0, failed: 0, skipped: 1, seconds: 0, output: '', skips };
}

function leftoverText(leftovers: Leftovers): string {
  return leftovers.map(({ kind, name }) => `${kind} ${name}`).join('\n');
}
