/**
 * Programs with a power of their own: a gateway places processes, sshd's sockets are ahead of policy. A workload that runs
 * such a program gains neither: it may preload its own code into it. The unit's own program, as it was started, has them.
 */
import { chmodSync, chownSync, copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MatchApplier } from '../../src/datapath/match-applier.ts';
import { program } from '../core/match-world.ts';
import { run, start } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { DENIED, FRIENDS, type Frame, HOME, type Lab, NOBODY, openLab } from './lab.ts';

/** Who holds it could detach the programs. */
const UNPOWERED = ['setpriv', '--bounding-set=-sys_admin', '--'];

const test = suite('bypass: the power of others');
let lab: Lab;
let gateway: string;
let jobs: string;
let login: string;

test.before(
  told(async () => {
    lab = await openLab();
    const copy = (from: string, name: string): string => {
      const path = join(lab.program('sink'), '..', name);
      copyFileSync(from, path);
      chmodSync(path, 0o755);
      return path;
    };
    [gateway, jobs, login] = [copy('/bin/dash', 'tini'), copy('/bin/dash', 'cron'), copy(lab.program('sink'), 'sshd')];
    new MatchApplier(lab.kernel.maps).apply(program({}), {
      gateways: [
        { path: gateway, startsJobs: false },
        { path: jobs, startsJobs: true },
      ],
      failsafe: [login],
    });
    for (const folder of [lab.cgroupDir, lab.den, lab.free]) chownSync(join(folder, 'cgroup.procs'), NOBODY, NOBODY);
  }),
);

test.after(async () => {
  await lab?.destroy();
});

for (const where of ['nobody', 'another workload'] as const)
  for (const uid of [NOBODY, 0])
    for (const kind of ['gateway', 'starter of jobs'] as const)
      test(`a workload that runs a ${kind} does not move itself to where ${where} is (uid ${uid})`, async () => {
        const folder = where === 'nobody' ? lab.cgroupDir : lab.free;
        const send = `${lab.program('egress')} udp ${DENIED[4]} ${DENIED[4]} TAG-power`;
        const shell = kind === 'gateway' ? gateway : jobs;
        const argv = [...UNPOWERED, shell, '-c', `echo 0 > ${folder}/cgroup.procs; ${send}; exec ${send}`];
        lab.policy(undefined);
        assert.ok((await lab.attack(argv, { uid })).some(to(DENIED[4])), 'without a policy it arrives');
        lab.enforce();
        assert.equal((await lab.attack(argv, { uid })).filter(to(DENIED[4])), []);
      });

test('the main program of a unit, which is a gateway, places what it starts', async () => {
  lab.enforce();
  const send = `${lab.program('egress')} udp ${DENIED[4]} ${DENIED[4]} TAG-placed`;
  const child = `sh -c 'read go; exec ${send}'`;
  const script = `{ echo go; } | { echo 0 > ${lab.free}/cgroup.procs; ${child}; }`;
  assert.ok((await lab.watch(() => asMain([gateway, '-c', script]).ended)).some(to(DENIED[4])));
});

for (const family of [4, 6] as const)
  test(`a workload that runs a program of remote login is not ahead of policy by it, a unit of it is (IPv${family})`, async () => {
    lab.enforce();
    for (const { how, isHeard } of [
      { how: 'run by a workload', isHeard: false },
      { how: 'unit', isHeard: true },
    ]) {
      const argv = how === 'unit' ? [login, '7800'] : [...UNPOWERED, login, '7800'];
      const server = how === 'unit' ? asMain(argv).child : start(argv, { netns: lab.home.path, cgroup: lab.den });
      let text = '';
      server.stdout!.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      await until('it listens', () => text.includes('READY'));
      const knock = (from: string, what: string) =>
        run([lab.program('knock'), 'tcp', from, HOME[family], '7800', what], { netns: lab.peer.path });
      await knock(DENIED[family], 'TAG-denied');
      await knock(FRIENDS[family], 'TAG-friend');
      await until('the friend is heard', () => text.includes('TAG-friend'));
      assert.is(text.includes('TAG-denied'), isHeard, `${how}: ${text}`);
      const closed = new Promise((resolve) => server.once('close', resolve));
      server.kill('SIGKILL');
      await closed;
    }
  });

/** As a service manager starts a unit: the program is the first that runs in the cgroup. */
function asMain(argv: readonly string[]) {
  const words = ['sh', '-c', 'echo 0 > "$0/cgroup.procs" && exec "$@"', lab.den, ...argv];
  const child = start(words, { netns: lab.home.path });
  return { child, ended: new Promise((resolve) => child.once('close', resolve)) };
}

function to(address: string): (frame: Frame) => boolean {
  return ({ destination }) => destination === address;
}

test.run();
