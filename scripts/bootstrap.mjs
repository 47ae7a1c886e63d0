// From a clean clone to a machine that can run or test Postern: npm packages, Debian packages, BPF object.
// Runs on any Node >= 20 without a package. `node scripts/bootstrap.mjs start|test|install`. What is there is left alone.
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildBpf } from './build-bpf.mjs';
import { ensureDebianPackages } from './debian-packages.mjs';
import { kernelNeeds } from './kernel-needs.mjs';
import { ensureNpmPackages } from './npm-packages.mjs';
import { pinnedNode } from './pinned-node.mjs';
import { runCommand } from './run-command.mjs';
import { step } from './step.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const purpose = process.argv[2] ?? 'start';
if (!['start', 'test', 'install'].includes(purpose)) {
  console.error(`Cannot prepare for "${purpose}": start, test or install`);
  process.exit(2);
}

// What enforcement needs may be missing: that is told, and the control plane starts all the same.
const survives = (work) => work.catch(() => undefined);
// Without its packages and its Node nothing of Postern runs.
const must = (work) => work.catch(() => process.exit(1));

await must(
  step('npm packages', () =>
    ensureNpmPackages(root, {
      need: purpose === 'test' ? 'all' : 'runtime',
      install: purpose === 'install' ? 'runtime' : 'all',
    }),
  ),
);
await survives(
  step('debian packages', () => ensureDebianPackages(purpose === 'test' ? ['run', 'build', 'test'] : neededToStart())),
);
await must(step('node', () => `${runCommand(pinnedNode(root), ['--version']).trim()}, pinned`));
// An installed copy is read-only for the service: the server's own preparation of PostgreSQL is done now, in place.
if (purpose === 'install') await must(step('postgres', () => preparePostgres()));
if (purpose !== 'test') {
  await survives(step('bpf object', () => buildBpf(root)));
  await step('kernel', () => kernelNeeds().join('; ') || 'root, BTF and cgroup2 present');
}

function preparePostgres() {
  const call =
    "import { loadPostgresBinaries } from './src/server/postgres-package.ts'; await loadPostgresBinaries('.')";
  runCommand(pinnedNode(root), ['--input-type=module', '--eval', call], { cwd: root });
  return 'libraries linked';
}

function neededToStart() {
  return buildBpf(root, { dryRun: true }) === 'current' ? ['run'] : ['run', 'build'];
}
