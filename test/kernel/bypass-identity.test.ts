// @timeout 60
/** Ways out of a label, each tried without and with a policy; the sniffer at the denied peer decides. */
import { chownSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Proc, ProcFlag } from '../../src/datapath/postern.skel.ts';
import { run } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { DEN, DENIED, FREE, type Frame, type Lab, NOBODY, openLab } from './lab.ts';

const test = suite('bypass: identity');
let lab: Lab;

test.before(
  told(async () => {
    lab = await openLab();
  }),
);

test.after(async () => {
  await lab?.destroy();
});

for (const family of [4, 6] as const)
  for (const mode of ['migrate', 'reexec', 'child', 'clone'])
    for (const uid of [NOBODY, 0])
      test(`a workload stays what it is in the cgroup of another (${mode}, IPv${family}, uid ${uid})`, async () => {
        const argv = [lab.program('identity'), mode, lab.free, DENIED[family], `TAG-${mode}`];
        // delegated, as to a user manager: who is not root may move what is his between folders that are his
        for (const folder of [lab.cgroupDir, lab.den, lab.free])
          chownSync(join(folder, 'cgroup.procs'), NOBODY, NOBODY);
        lab.policy(undefined);
        assert.ok((await lab.attack(argv, { uid })).some(to(DENIED[family])), 'without a policy it arrives');
        lab.enforce();
        assert.equal((await lab.attack(argv, { uid })).filter(to(DENIED[family])), []);
      });

for (const mode of ['migrate', 'clone'])
  test(`a workload stays what it is in a cgroup that is nobody's (${mode})`, async () => {
    const argv = [lab.program('identity'), mode, lab.cgroupDir, DENIED[4], `TAG-${mode}`];
    lab.policy(undefined);
    assert.ok((await lab.attack(argv)).some(to(DENIED[4])), 'without a policy it arrives');
    lab.enforce();
    assert.equal((await lab.attack(argv)).filter(to(DENIED[4])), []);
  });

for (const family of [4, 6] as const)
  test(`who uses an unconnected socket is judged, not who made it (IPv${family})`, async () => {
    for (const isEnforced of [false, true]) {
      if (isEnforced) lab.enforce();
      else lab.policy(undefined);
      const path = `${lab.program('identity')}.sock`;
      await lab.serve([lab.program('identity'), 'give', path, DENIED[family], '-'], /READY/, lab.free);
      const frames = await lab.attack([lab.program('identity'), 'take', path, DENIED[family], 'TAG-taken']);
      assert.is(frames.some(to(DENIED[family])), !isEnforced);
    }
  });

for (const { what, mover, expected } of [
  { what: 'nobody', mover: 'none', expected: 'moves' },
  { what: 'a gateway', mover: 'gateway', expected: 'moves' },
  { what: 'another workload', mover: 'labelled', expected: 'stays' },
] as const)
  test(`a process that ${what} places in another cgroup ${expected === 'moves' ? 'is' : 'is not'} what is in there`, async () => {
    lab.policy(undefined);
    const sleeper = await lab.serve([lab.program('sink'), '7300'], /READY/);
    assert.is(lab.kernel.maps.proc.get(sleeper.pid!)?.identity, DEN);
    const command = `echo WAITING; read go; echo ${sleeper.pid} > ${lab.free}/cgroup.procs`;
    const shell = await lab.serve(['sh', '-c', command], /WAITING/, mover === 'none' ? lab.cgroupDir : lab.free);
    assert.is(lab.kernel.maps.proc.get(shell.pid!)?.identity, mover === 'none' ? undefined : FREE);
    if (mover === 'gateway') {
      const entry = lab.kernel.maps.proc.get(shell.pid!) as Proc;
      lab.kernel.maps.proc.set(shell.pid!, { ...entry, flags: entry.flags | ProcFlag.PROC_GATEWAY });
    }
    const done = new Promise((resolve) => shell.once('close', resolve));
    shell.stdin!.end('go\n');
    await done;
    assert.is(lab.kernel.maps.proc.get(sleeper.pid!)?.identity, expected === 'moves' ? FREE : DEN);
    const closed = new Promise((resolve) => sleeper.once('close', resolve));
    sleeper.kill('SIGKILL');
    await closed;
    await until('its entry is gone', () => lab.kernel.maps.proc.get(sleeper.pid!) === undefined);
  });

test('a process without a label is the host, and may do what it could', async () => {
  lab.enforce();
  const argv = [lab.program('egress'), 'udp', DENIED[4], DENIED[4], 'TAG-host'];
  const frames = await lab.watch(() => run(argv, { netns: lab.home.path, cgroup: lab.cgroupDir }));
  assert.ok(frames.some(to(DENIED[4])));
});

function to(address: string): (frame: Frame) => boolean {
  return ({ destination }) => destination === address;
}

test.run();
