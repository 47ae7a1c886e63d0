// @timeout 90
/** Executables by resolved path, where inode numbers lie: the rows of "What is the path" in docs/legacy-workloads.md. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { program } from '../core/match-world.ts';
import { told } from '../e2e/wait.ts';
import { skip } from '../skip.ts';
import { type Driver, type ExecLab, openExecLab } from './exec-lab.ts';

const test = suite('path rows');
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

/** Who is it, registered as `registered`? */
async function isKnown(registered: string, path: string, args: readonly string[] = ['app']): Promise<boolean> {
  lab.apply(program({ 'a/app': { process: { exe: registered, user: 'root' } } }));
  return (await driver.exec({ path, args })).clause?.workload === 'a/app';
}

/** A file system in a file, mounted while `run` runs. */
async function inImage(
  make: readonly string[],
  megabytes: number,
  run: (folder: string) => Promise<void>,
): Promise<void> {
  const image = join(lab.folder, 'image');
  const folder = join(lab.folder, 'mounted');
  writeFileSync(image, '');
  truncateSync(image, megabytes * 2 ** 20);
  execFileSync(make[0]!, [...make.slice(1), image], { stdio: ['ignore', 'ignore', 'inherit'] });
  mkdirSync(folder);
  execFileSync('mount', ['-o', 'loop', image, folder]);
  try {
    await run(folder);
  } finally {
    execFileSync('umount', [folder]);
    rmSync(folder, { recursive: true });
    rmSync(image);
  }
}

test('ext4 gives a freed inode number away at once: the stranger that has it now is nobody, the upgrade is known', async () => {
  await inImage(['mkfs.ext4', '-q'], 32, async (folder) => {
    const app = join(folder, 'app');
    lab.place(app);
    assert.is(await isKnown(app, app), true);
    const { ino } = statSync(app);
    rmSync(app);
    const stranger = lab.place(join(folder, 'stranger'));
    assert.is(statSync(stranger).ino, ino, 'the same inode number');
    assert.is(await isKnown(app, stranger), false);
    lab.place(app);
    assert.is.not(statSync(app).ino, ino);
    assert.is(await isKnown(app, app), true);
  });
});

const missing =
  !/\bbtrfs$/m.test(readFileSync('/proc/filesystems', 'utf8')) && spawnSync('modprobe', ['btrfs']).status !== 0
    ? 'package: a kernel with btrfs (CONFIG_BTRFS_FS)'
    : spawnSync('mkfs.btrfs', ['--version']).error === undefined
      ? undefined
      : 'package: btrfs-progs';
const SUBVOLUMES = 'two btrfs subvolumes have one device and one inode number, and two paths';
if (missing !== undefined) skip(test, SUBVOLUMES, missing);
else
  test(SUBVOLUMES, async () => {
    await inImage(['mkfs.btrfs', '-q'], 128, async (folder) => {
      const [one, two] = ['one', 'two'].map((name) => {
        execFileSync('btrfs', ['subvolume', 'create', join(folder, name)], { stdio: 'ignore' });
        return lab.place(join(folder, name, 'app'));
      }) as [string, string];
      assert.is(statSync(one).ino, statSync(two).ino);
      assert.is(await isKnown(one, one), true);
      assert.is(await isKnown(one, two), false);
      assert.is(await isKnown(two, two), true);
      // a subvolume mounted by itself, as /home is
      const apart = join(lab.folder, 'apart');
      mkdirSync(apart);
      const [device] = /^\S+/.exec(execFileSync('findmnt', ['-no', 'SOURCE', folder], { encoding: 'utf8' }))!;
      execFileSync('mount', ['-o', 'subvol=two', device, apart]);
      try {
        assert.is(await isKnown(join(apart, 'app'), join(apart, 'app')), true);
        assert.is(await isKnown(two, join(apart, 'app')), false, 'it is the path at which it is mounted');
      } finally {
        execFileSync('umount', [apart]);
      }
    });
  });

test('static, static PIE and dynamic programs are their own path; one that the loader is told to run is the loader', async () => {
  const source = join(import.meta.dirname, 'attacks/quit.c');
  for (const [name, flags] of [
    ['static', ['-static']],
    ['static-pie', ['-static-pie']],
    ['pie', ['-pie', '-fPIE']],
    ['no-pie', ['-no-pie']],
  ] as const) {
    const path = join(lab.folder, name);
    execFileSync('cc', [...flags, '-o', path, source]);
    assert.is(await isKnown(path, path), true, name);
  }
  const dynamic = join(lab.folder, 'pie');
  const loader = execFileSync(
    'readlink',
    ['-f', ['/lib64/ld-linux-x86-64.so.2', '/lib/ld-linux-aarch64.so.1'].find(existsSync)!],
    {
      encoding: 'utf8',
    },
  ).trim();
  assert.is(await isKnown(dynamic, loader, ['ld.so', dynamic]), false);
  assert.is(await isKnown(loader, loader, ['ld.so', dynamic]), true);
});

test('a copy inside of a chroot is the path outside, also when it is a hard link or is mounted there', async () => {
  const root = join(lab.folder, 'root');
  const inside = lab.place(join(root, 'usr/bin/app'));
  const host = lab.place(join(lab.folder, 'host/app'));
  lab.apply(
    program({
      'a/app': { process: { exe: host, user: 'root' } },
      'a/jail': { process: { exe: inside, user: 'root' } },
    }),
  );
  const who = async (path: string) => (await driver.exec({ path, root, args: ['app'] })).clause?.workload;
  assert.is(await who('/usr/bin/app'), 'a/jail');
  mkdirSync(join(root, host.slice(0, -'/app'.length)), { recursive: true });
  copyFileSync(host, join(root, host));
  assert.is(await who(host), undefined, 'the same path inside is another one');
});

test('in the mount namespace of a service the path is the same; on a root of its own, as a container has, it is nobody', async () => {
  const path = lab.place(join(lab.folder, 'private/app'));
  const folder = join(lab.folder, 'rootfs');
  mkdirSync(folder);
  assert.is(await isKnown(path, '/usr/bin/unshare', ['unshare', '--mount', path]), true);
  const pivot = `mount -t tmpfs rootfs "$1" && mkdir -p "$1$(dirname "$0")" "$1/old" && cp "$0" "$1$0" && cd "$1" && pivot_root . old &&
    exec "$0"`;
  const apart = ['unshare', '--mount', 'sh', '-c', pivot, path, folder];
  assert.is(await isKnown(path, '/usr/bin/unshare', apart), false);
});

test.run();
