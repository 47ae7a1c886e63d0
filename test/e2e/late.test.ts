/** What user space decides, and what the kernel leaves to it; and a label that children do not have. */
import type { ChildProcess } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from './instance.ts';
import { start } from './run-in.ts';
import { told, until } from './wait.ts';

const test = suite('late clauses');
const folder = mkdtempSync(join(tmpdir(), 'postern-late-'));
const running: ChildProcess[] = [];
let postern: Instance;

function script(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, 0o755);
  return path;
}

function launch(...argv: string[]): ChildProcess {
  const child = start(argv, { cgroup: postern.makeCgroup('late.service') });
  running.push(child);
  return child;
}

// biome-ignore lint/suspicious/noExplicitAny: an answer's body
async function endpointOf(workload: string): Promise<any> {
  // biome-ignore lint/suspicious/noExplicitAny: an answer's body
  let found: any;
  await until(`somebody is ${workload}`, async () => {
    const { body } = await postern.agent('/v1/endpoints');
    found = body.items.find((endpoint: { workload: string }) => endpoint.workload === workload);
    return found !== undefined;
  });
  return found;
}

test.before(
  told(async () => {
    postern = await startInstance();
  }),
);
test.after(async () => {
  for (const child of running) child.kill('SIGKILL');
  await postern?.destroy();
  rmSync(folder, { recursive: true });
});

test('a #! file names its process, before and after the registration, and another script does not', async () => {
  const worker = script('worker.sh', '#!/bin/sh\nread line\n');
  const before = launch(worker);
  launch('sh', script('other.sh', 'read line\n'));
  const { body } = await postern.workload('late/worker', {
    labels: { app: 'worker' },
    match: { process: { script: worker, user: '0' } },
  });
  assert.is(body.status.grade, 'firstPacket');
  const first = await endpointOf('late/worker');
  assert.equal([first.why.grade, first.processes.length, first.processes[0].pid], ['firstPacket', 1, before.pid]);
  const after = launch('sh', worker);
  await until('the second one is named too', async () => {
    const answer = await postern.agent('/v1/endpoints');
    return answer.body.items.some(({ processes }: { processes: { pid: number }[] }) => processes[0]?.pid === after.pid);
  });
});

test('a regular expression over the arguments names a process', async () => {
  await postern.workload('late/regex', {
    labels: { app: 'regex' },
    match: { process: { user: '0', argsRegex: '^sleep 6[0-9]{2}$' } },
  });
  launch('sleep', '700');
  const { pid } = launch('sleep', '611');
  const { processes } = await endpointOf('late/regex');
  assert.equal(
    processes.map((process: { pid: number }) => process.pid),
    [pid],
  );
});

test('what the kernel could not see whole is decided by user space, and its endpoint says so', async () => {
  const deep = join(folder, ...Array.from({ length: 70 }, (_, i) => `d${i}`));
  mkdirSync(deep, { recursive: true });
  copyFileSync('/usr/bin/sleep', join(deep, 'app'));
  await postern.workload('late/deep', {
    labels: { app: 'deep' },
    match: { process: { user: '0', exe: join(deep, 'app') } },
  });
  const { pid } = launch(join(deep, 'app'), '633');
  const { why, processes } = await endpointOf('late/deep');
  assert.equal([why.grade, why.cut, processes[0].pid], ['late', true, pid]);
});

test('a script that is named over a symbolic link is decided by user space', async () => {
  const target = script('target.sh', 'read line\n');
  await postern.workload('late/linked', {
    labels: { app: 'linked' },
    match: { process: { script: target, user: '0' } },
  });
  symlinkSync(target, join(folder, 'link.sh'));
  const { pid } = launch('sh', join(folder, 'link.sh'));
  const { why, processes } = await endpointOf('late/linked');
  assert.equal([why.grade, why.cut, processes[0].pid], ['late', undefined, pid]);
});

test('a cgroup whose pattern the kernel cannot compare is named when it comes', async () => {
  await postern.workload('late/cgroup', {
    labels: { app: 'cgroup' },
    match: { cgroup: `${postern.cgroupPath}/job-*-of-*` },
  });
  const child = start(['sleep', '744'], { cgroup: postern.makeCgroup('job-1-of-2') });
  running.push(child);
  const { why, processes } = await endpointOf('late/cgroup');
  assert.equal([why.grade, why.origin, processes[0].pid], ['late', 'cgroup', child.pid]);
  running.push(start(['sleep', '745'], { cgroup: postern.makeCgroup('job-3') }));
});

test('with inherit none the children of a process are somebody else', async () => {
  const parent = script('parent.sh', '#!/bin/sh\nsleep 555 &\nread line\n');
  await postern.workload('late/parent', {
    labels: { app: 'parent' },
    match: { process: { script: parent, user: '0' } },
    inherit: 'none',
  });
  const { pid } = launch(parent);
  const { processes } = await endpointOf('late/parent');
  assert.equal(
    processes.map((process: { pid: number }) => process.pid),
    [pid],
  );
});

test.run();
