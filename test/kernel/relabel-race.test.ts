/** Everything is labelled anew while the main program of a unit starts jobs of its own executable, and after it has taken another title. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CgroupTree } from '../../src/agent/cgroup-tree.ts';
import { Labels } from '../../src/agent/labels.ts';
import { createUserNames } from '../../src/agent/user-names.ts';
import { LaunchFlag } from '../../src/datapath/postern.skel.ts';
import { program } from '../core/match-world.ts';
import { start } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { type OwnKernel, openKernel } from './own-kernel.ts';

const ROUNDS = 60;
/** Runs 50 jobs at a time, each until 50 others have begun. */
const DAEMON = `#!/usr/bin/perl
$0 = 'the daemon' if $ARGV[1];
my @jobs;
while (1) {
  my $pid = fork;
  if (!$pid) { exec $ARGV[0] or exit 1 }
  push @jobs, $pid;
  next if @jobs < 50;
  my $old = shift @jobs;
  kill 9, $old;
  waitpid $old, 0;
}
`;
const JOB = '#!/usr/bin/perl\nsleep 60 while 1;\n';
const test = suite('labelled anew while jobs start');
const folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
const [daemon, job] = [join(folder, 'daemon'), join(folder, 'job')];
let own: OwnKernel;
let labels: Labels;

test.before(
  told(async () => {
    writeFileSync(daemon, DAEMON, { mode: 0o755 });
    writeFileSync(job, JOB, { mode: 0o755 });
    own = openKernel();
    const gateways = new Map([[daemon, { path: daemon, startsJobs: true }]]);
    labels = new Labels(own.kernel, new CgroupTree(own.mount), createUserNames(), own.cgroupPath, gateways);
    own.kernel.attachTracing();
  }),
);
test.after(async () => {
  await own?.destroy();
  rmSync(folder, { recursive: true, force: true });
});

for (const [name, unit, ...title] of [
  ['a job of the same executable as its main program never has the label of the unit', 'unit'],
  ['nor when the main program has another title by then', 'renamed', 'renamed'],
] as const)
  test(name, async () => {
    const dir = own.makeCgroup(unit);
    labels.apply(program({ [`a/${unit}`]: { cgroup: `${own.cgroupPath}/${unit}` } }));
    const main = start([daemon, job, ...title], { cgroup: dir });
    try {
      await until('the main program has the label', () => labels.workloadOf(main.pid!) === `a/${unit}`);
      const seen = new Set<number>();
      for (let round = 0; round < ROUNDS; round++) {
        labels.relabel();
        for (const pid of readFileSync(join(dir, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number)) {
          if (!isJob(pid)) continue;
          const entry = own.kernel.maps.proc.get(pid);
          if (!isJob(pid)) continue; // ended meanwhile
          seen.add(pid);
          assert.is(entry?.launch, LaunchFlag.LAUNCH_NOBODY, `round ${round}: ${JSON.stringify(entry)}`);
        }
        await new Promise(setImmediate);
      }
      assert.is(labels.workloadOf(main.pid!), `a/${unit}`);
      assert.ok(seen.size > ROUNDS, `${seen.size} jobs were seen`);
    } finally {
      main.kill('SIGKILL');
    }
  });

function isJob(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[1] === job;
  } catch {
    return false;
  }
}

test.run();
