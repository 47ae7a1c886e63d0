// @timeout 90
/** Executables by resolved path: what the kernel sees at a real exec. */
import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readCounters } from '../../src/datapath/counters.ts';
import { ProcFlag } from '../../src/datapath/postern.skel.ts';
import { program } from '../core/match-world.ts';
import { told } from '../e2e/wait.ts';
import { type Driver, type Exec, type ExecLab, openExecLab } from './exec-lab.ts';

const test = suite('path hash');
let lab: ExecLab;
let driver: Driver;

test.before(
  told(async () => {
    lab = await openExecLab();
    driver = await lab.driver();
  }),
);

test.after(async () => {
  await lab?.destroy();
});

test('a path is found as it is, through a symbolic link, and relative to the folder', async () => {
  const path = lab.place(join(lab.folder, 'plain/bin/app'));
  symlinkSync(path, join(lab.folder, 'plain/link'));
  symlinkSync(join(lab.folder, 'plain'), join(lab.folder, 'plain-folder'));
  assert.is(await knownAs(path, { path }), true);
  assert.is(await knownAs(path, { path: join(lab.folder, 'plain/link') }), true);
  assert.is(await knownAs(path, { path: join(lab.folder, 'plain-folder/bin/../bin/./app') }), true);
  assert.is(await knownAs(path, { path: './app', cwd: join(lab.folder, 'plain/bin') }), true);
});

test('a link is not the path of what it leads to', async () => {
  const path = lab.place(join(lab.folder, 'leads/app'));
  symlinkSync(path, join(lab.folder, 'leads/link'));
  assert.is(await knownAs(join(lab.folder, 'leads/link'), { path: join(lab.folder, 'leads/link') }), false);
});

test('a new file renamed over the path keeps the name; the old file under another name loses it', async () => {
  const path = lab.place(join(lab.folder, 'upgrade/app'));
  const next = lab.place(join(lab.folder, 'upgrade/app.new'));
  linkSync(path, join(lab.folder, 'upgrade/app.old'));
  renameSync(next, path);
  assert.is(await knownAs(path, { path }), true);
  assert.is(await knownAs(path, { path: join(lab.folder, 'upgrade/app.old') }), false);
});

test('a hard link is another path, and so is a copy', async () => {
  const path = lab.place(join(lab.folder, 'hard/app'));
  linkSync(path, join(lab.folder, 'hard/other'));
  assert.is(await knownAs(path, { path: join(lab.folder, 'hard/other') }), false);
  assert.is(await knownAs(path, { path: lab.place(join(lab.folder, 'hard/copy')) }), false);
});

for (const flags of [['-static', '-no-pie'], ['-static-pie'], ['-pie', '-fPIE'], ['-no-pie']])
  test(`a binary linked ${flags.join(' ')} is the file, whatever loads it`, async () => {
    const path = join(lab.folder, `linked${flags.join('')}/app`);
    mkdirSync(dirname(path));
    execFileSync('cc', ['-O1', ...flags, '-o', path, join(import.meta.dirname, 'attacks/quit.c')]);
    assert.is(await knownAs(path, { path }), true);
    assert.is(await knownAs('/lib64/ld-linux-x86-64.so.2', { path }), false);
  });

test('of a script the executable is the interpreter, env included', async () => {
  const interpreter = lab.place(join(lab.folder, 'script/interpreter'));
  for (const [name, line, exe] of [
    ['direct', `#!${interpreter} -x`, interpreter],
    ['env', `#!/usr/bin/env ${interpreter}`, interpreter],
  ] as const) {
    const path = join(lab.folder, 'script', name);
    writeFileSync(path, `${line}\n`, { mode: 0o755 });
    assert.is(await knownAs(exe, { path }), true, name);
    assert.is(await knownAs(path, { path }), false, name);
  }
});

test('inside a chroot the path is the one outside', async () => {
  const root = join(lab.folder, 'jail');
  const path = lab.place(join(root, 'usr/bin/app'));
  assert.is(await knownAs('/usr/bin/app', { path: '/usr/bin/app', root }), false);
  assert.is(await knownAs(path, { path: '/usr/bin/app', root }), true);
});

test('what has no path, memory alone, has no name', async () => {
  const path = lab.place(join(lab.folder, 'memory/app'));
  assert.is(await knownAs(path, { path, how: 'memfd' }), false);
});

test('a bind mount gives the path at which it is mounted', async () => {
  const path = lab.place(join(lab.folder, 'bind/real/app'));
  const mounted = join(lab.folder, 'bind/mounted');
  mkdirSync(mounted);
  execFileSync('mount', ['--bind', join(lab.folder, 'bind/real'), mounted]);
  try {
    assert.is(await knownAs(join(mounted, 'app'), { path: join(mounted, 'app') }), true);
    assert.is(await knownAs(path, { path: join(mounted, 'app') }), false);
    assert.is(await knownAs(path, { path }), true);
  } finally {
    execFileSync('umount', [mounted]);
  }
});

test('an overlay and a tmpfs below the root are part of the tree', async () => {
  const base = join(lab.folder, 'layers');
  for (const name of ['tmp', 'merged']) mkdirSync(join(base, name), { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', join(base, 'tmp')]);
  try {
    for (const name of ['lower', 'upper', 'work']) mkdirSync(join(base, 'tmp', name));
    lab.place(join(base, 'tmp/lower/app'));
    const options = ['lower', 'upper', 'work'].map((name) => `${name}dir=${base}/tmp/${name}`).join();
    execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', options, join(base, 'merged')]);
    try {
      const path = join(base, 'merged/app');
      assert.is(await knownAs(path, { path }), true);
      assert.is(await knownAs(join(base, 'tmp/lower/app'), { path }), false);
    } finally {
      execFileSync('umount', [join(base, 'merged')]);
    }
    assert.is(await knownAs(join(base, 'tmp/lower/app'), { path: join(base, 'tmp/lower/app') }), true);
  } finally {
    execFileSync('umount', [join(base, 'tmp')]);
  }
});

for (const length of [1, 7, 8, 9, 16, 63, 64, 254, 255])
  test(`a name of ${length} bytes`, async () => {
    const path = lab.place(join(lab.folder, `length-${length}`, 'n'.repeat(length)));
    assert.is(await knownAs(path, { path }), true);
    assert.is(await knownAs(`${path.slice(0, -1)}m`, { path }), false);
  });

test('names in UTF-8, and with spaces', async () => {
  const path = lab.place(join(lab.folder, 'Größe und Maß', '日本語 ☕'));
  assert.is(await knownAs(path, { path }), true);
});

test('a deep path is found; one too deep is counted, and waits for user space', async () => {
  const depth = lab.folder.split('/').length;
  for (const [names, isFound] of [
    [40, true],
    [70, false],
  ] as const) {
    const path = lab.place(join(lab.folder, ...Array.from({ length: names - depth }, (_, i) => `d${i}`), 'app'));
    const before = readCounters(lab.kernel.maps).pathDeep;
    assert.is(await knownAs(path, { path }), isFound, `${names} names`);
    const { event } = await driver.exec({ path, args: ['app'] });
    assert.is((event.flags & ProcFlag.PROC_PENDING) !== 0, !isFound, `${names} names`);
    assert.is(readCounters(lab.kernel.maps).pathDeep > before, !isFound);
  }
});

test('in a user namespace of its own nobody is what the path says', async () => {
  const path = lab.place(join(lab.folder, 'spoof/app'));
  lab.apply(program({ 'a/app': { process: { exe: path } } }));
  const { event } = await driver.exec({ path: '/usr/bin/unshare', args: ['unshare', '-Urm', path] });
  assert.is(event.filename, path);
  assert.is(event.identity, 0);
});

/** Whether the exec is taken for a workload that is registered with this path. */
async function knownAs(registered: string, exec: Omit<Exec, 'args'>): Promise<boolean> {
  lab.apply(program({ 'a/app': { process: { exe: registered } } }));
  const { event, clause } = await driver.exec({ ...exec, args: ['app'] });
  const isPending = (event.flags & ProcFlag.PROC_PENDING) !== 0;
  assert.is(isPending, (event.flags & ProcFlag.PROC_ARGS_CUT) !== 0);
  assert.is(event.identity !== 0 && !isPending, clause !== undefined);
  return clause?.workload === 'a/app';
}

test.run();
