/** Which cgroup a container is, on the kernel's own tree: by its first process, by its name alone, and by whose word. */
import { spawn } from 'node:child_process';
import { chownSync, mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { containerCgroup } from '../../src/agent/container-cgroup.ts';
import { findCgroupMount } from '../../src/agent/preflight.ts';
import { until } from '../e2e/wait.ts';

const test = suite('the cgroup of a container');
const mount = findCgroupMount()!;
const own = `postern-test-box-${process.pid}`;
const id = (n: number): string => n.toString(16).padStart(64, '0');
const folders = [
  own,
  `${own}/docker-${id(1)}.scope`,
  `${own}/docker-${id(1)}.scope/init`,
  `${own}/alice`,
  `${own}/alice/libpod-conmon-${id(2)}.scope`,
  `${own}/alice/libpod-${id(2)}.scope`,
  `${own}/shared`,
];
const inside = (cgroup: string) =>
  spawn('sh', ['-c', 'echo $$ > "$0/cgroup.procs" && exec sleep 60', join(mount, cgroup)], { stdio: 'ignore' });
let first: ReturnType<typeof inside>;
let third: ReturnType<typeof inside>;
const of = (n: number, pid: number | undefined, owner = 0) => containerCgroup(mount, id(n), pid, owner);

test.before(() => {
  for (const folder of folders) mkdirSync(join(mount, folder));
  chownSync(join(mount, `${own}/alice/libpod-${id(2)}.scope`), 60_001, 60_001);
  first = inside(`${own}/docker-${id(1)}.scope/init`);
  third = inside(`${own}/shared`);
});
test.after(async () => {
  first.kill('SIGKILL');
  third.kill('SIGKILL');
  for (const folder of folders.toReversed())
    await until(`${folder} is gone`, () => {
      try {
        rmdirSync(join(mount, folder));
        return true;
      } catch {
        return false;
      }
    });
});

test('that of its first process, without what its init made below', async () => {
  await until('it is inside', async () => (await of(1, first.pid)) === `${own}/docker-${id(1)}.scope`);
});

test('that with its name, when its pid is of another pid namespace; never that of its monitor', async () => {
  assert.is(await of(2, process.pid), `${own}/alice/libpod-${id(2)}.scope`);
});

test('a cgroup that it shares with who started it is not its own', async () => {
  assert.is(await of(3, third.pid), undefined);
  assert.is(await of(3, undefined), undefined, 'it has ended');
});

test("a runtime of a user speaks of that user's cgroups only, and an id is an id", async () => {
  assert.is(await of(2, process.pid, 60_001), `${own}/alice/libpod-${id(2)}.scope`);
  assert.is(await of(2, process.pid, 60_002), undefined);
  assert.is(await of(1, first.pid, 60_001), undefined);
  assert.is(await containerCgroup(mount, 'shared', third.pid, 0), undefined);
  assert.is(await containerCgroup(mount, '', third.pid, 0), undefined);
});

test.run();
