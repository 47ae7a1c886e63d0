/** Gateways in the kernel: what they start, whether they come first in a unit or are run by a workload. */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LabelOrigin, LaunchFlag, ProcFlag } from '../../src/datapath/postern.skel.ts';
import { program } from '../core/match-world.ts';
import { start } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { type ExecLab, openExecLab } from './exec-lab.ts';

const test = suite('gateways');
let lab: ExecLab;
let other: string;

test.before(
  told(async () => {
    lab = await openExecLab();
    other = lab.place(join(lab.folder, 'other'));
  }),
);
test.after(async () => {
  await lab?.destroy();
});

test('a process does not lose its label by running a gateway: what the gateway starts has it too', async () => {
  const [own, gateway] = ['service-shell', 'gate-shell'].map((name) => {
    const path = join(lab.folder, name);
    copyFileSync('/bin/dash', path);
    return path;
  }) as [string, string];
  lab.apply(program({ 'a/own': { process: { exe: own, user: 'root' } } }), {
    gateways: [{ path: gateway, startsJobs: false }],
  });
  const words = [own, '-c', `exec ${gateway} -c 'sleep 300 & echo READY $!; wait'`];
  const sleeper = await started(words, lab.cgroupDir);
  assert.is(workloadOf(sleeper), 'a/own');
  assert.is(lab.kernel.maps.proc.get(sleeper)!.origin, LabelOrigin.ORIGIN_INHERITED);
});

test('a job is not what the unit of cron is: it has the name of its own exec, or none', async () => {
  const cron = join(lab.folder, 'cron');
  const job = lab.place(join(lab.folder, 'job'));
  lab.apply(
    program({
      'a/cron': { cgroup: `${lab.cgroupPath}/cron.service` },
      'a/job': { process: { exe: job, user: 'root' } },
    }),
    { gateways: [{ path: cron, startsJobs: true }] },
  );
  const unit = lab.makeCgroup('cron.service');
  const main = await lab.driver(cron, unit);
  assert.is(workloadOf(main.pid), 'a/cron');
  assert.is(lab.kernel.maps.proc.get(main.pid)!.launch, LaunchFlag.LAUNCH_JOBS);
  assert.is((await main.exec({ path: job, args: ['job'] })).clause?.workload, 'a/job');
  const nobody = await main.exec({ path: other, args: ['other'] });
  assert.is(nobody.clause, undefined);
  assert.is(nobody.event.flags & ProcFlag.PROC_PINNED, ProcFlag.PROC_PINNED, 'its sockets do not ask the cgroup');
  await main.end();
});

test('a workload that runs cron stays what it is, with what cron starts', async () => {
  const [cron, shell] = [join(lab.folder, 'cron-shell'), '/bin/dash'];
  copyFileSync(shell, cron);
  lab.apply(program({ 'a/unit': { cgroup: `${lab.cgroupPath}/unit.service` } }), {
    gateways: [{ path: cron, startsJobs: true }],
  });
  const unit = lab.makeCgroup('unit.service');
  const ready = 'sleep 300 & echo READY $!; wait';
  const [job, kept] = [
    await started([cron, '-c', ready], unit),
    await started([shell, '-c', `exec ${cron} -c '${ready}'`], unit),
  ];
  assert.is(workloadOf(job), undefined, 'the main program');
  assert.is(workloadOf(kept), 'a/unit', 'run by the main program');
});

/** Starts a shell that says READY and the pid of what it started. */
async function started(words: readonly string[], cgroup: string): Promise<number> {
  let text = '';
  start(words, { cgroup })
    .stdout!.setEncoding('utf8')
    .on('data', (more) => {
      text += more;
    });
  await until(`${words[0]} has started something`, () => /READY \d+\n/.test(text));
  return Number(/READY (\d+)/.exec(text)![1]);
}

function workloadOf(pid: number): string | undefined {
  const entry = lab.kernel.maps.proc.get(pid);
  return entry === undefined ? undefined : lab.applier.clauseOf(entry.clause)?.workload;
}

test.run();
