/** A real Podman in a folder, its containers in cgroups of the test: nothing of it is installed or left. */
import { type ChildProcess, execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findCgroupMount } from '../../src/agent/preflight.ts';
import { run, start } from './run-in.ts';
import { until } from './wait.ts';

const CACHE = process.env.POSTERN_TEST_CACHE ?? '/var/cache/postern-test';
const TREE = join(CACHE, 'podman-1');
const PACKAGES = [
  ...['podman', 'conmon', 'crun', 'golang-github-containers-common', 'libgpgme11', 'libassuan0', 'libdevmapper1.02.1'],
  ...['libseccomp2', 'libsubid4', 'libyajl2', 'libglib2.0-0'],
];

export interface Podman {
  readonly socket: string;
  /** An empty root file system with this static program as /program. */
  rootfs(name: string, program: string): string;
  /** Starts a container below a cgroup, which is named from the cgroup2 root. */
  run(
    name: string,
    options: { readonly cgroup: string; readonly rootfs: string; readonly label: string },
  ): Promise<void>;
  remove(name: string): Promise<void>;
  stop(): Promise<void>;
}

/** Unpacked once, not installed. `missing`: why there is none here. */
export function podmanTree(): { path: string } | { missing: string } {
  if (existsSync(TREE)) return { path: TREE };
  const partial = `${TREE}.${process.pid}`;
  mkdirSync(partial, { recursive: true });
  const got = spawnSync('apt-get', ['download', ...PACKAGES], { cwd: partial, encoding: 'utf8', timeout: 60_000 });
  if (got.status !== 0) {
    rmSync(partial, { recursive: true });
    return { missing: `package: podman: ${got.error?.message ?? got.stderr.trim().split('\n').at(-1)}` };
  }
  for (const file of readdirSync(partial).filter((name) => name.endsWith('.deb'))) {
    execFileSync('dpkg', ['-x', file, '.'], { cwd: partial });
    rmSync(join(partial, file));
  }
  renameSync(partial, TREE);
  return { path: TREE };
}

export async function startPodman(tree: string): Promise<Podman> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-podman-'));
  const libraries = execFileSync('sh', ['-c', `dirname ${tree}/usr/lib/*/libyajl.so.2`], { encoding: 'utf8' }).trim();
  const crun = join(folder, 'crun');
  writeFileSync(crun, `#!/bin/sh\nLD_LIBRARY_PATH=${libraries} exec ${tree}/usr/bin/crun "$@"\n`);
  chmodSync(crun, 0o755);
  const conf = join(folder, 'containers.conf');
  writeFileSync(
    conf,
    `[engine]\ncgroup_manager="cgroupfs"\nevents_logger="file"\nruntime="crun"\nconmon_path=["${tree}/usr/bin/conmon"]\n[engine.runtimes]\ncrun=["${crun}"]\n`,
  );
  const socket = join(folder, 'podman.sock');
  const env = [
    ...['env', '-i', `LD_LIBRARY_PATH=${libraries}`, `HOME=${folder}`, `CONTAINERS_CONF=${conf}`],
    `PATH=${tree}/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
  ];
  const state = ['root', 'runroot', 'tmpdir'].flatMap((name) => [`--${name}`, join(folder, name)]);
  const words = [...env, 'podman', ...state, '--storage-driver', 'vfs'];
  // Only cgroup2 at its usual place: on a host with both kinds crun would refuse.
  const alone =
    'mount --make-rprivate / && mkdir "$0/cg" && mount --bind "$1" "$0/cg" && { umount -R -l /sys/fs/cgroup; mount --move "$0/cg" /sys/fs/cgroup; } && shift && exec "$@"';
  const service: ChildProcess = start(
    [
      'unshare',
      '--mount',
      'sh',
      '-c',
      alone,
      folder,
      findCgroupMount()!,
      ...words,
      'system',
      'service',
      '--time',
      '0',
      `unix://${socket}`,
    ],
    {},
  );
  await until('podman answers', () => existsSync(socket));
  const podman = async (...more: string[]): Promise<void> => {
    const { code, stderr } = await run(['nsenter', `--mount=/proc/${service.pid}/ns/mnt`, '--', ...words, ...more], {
      limitMs: 20_000,
    });
    if (code !== 0) throw new Error(`podman ${more.join(' ')}: ${stderr}`);
  };
  return {
    socket,
    rootfs: (name, program) => {
      const path = join(folder, `rootfs-${name}`);
      for (const inner of ['proc', 'dev', 'sys', 'etc', 'tmp', 'run'])
        mkdirSync(join(path, inner), { recursive: true });
      execFileSync('cp', [program, join(path, 'program')]);
      return path;
    },
    run: (name, { cgroup, rootfs, label }) =>
      podman(
        ...['run', '--detach', '--name', name, '--label', label, '--network', 'host', '--cgroup-parent', `/${cgroup}`],
        // what a sandbox without every right allows
        ...['--privileged', '--pids-limit', '-1', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'],
        ...['--rootfs', rootfs, '/program'],
      ),
    remove: (name) => podman('rm', '--force', '--time', '0', name),
    stop: async () => {
      await podman('rm', '--force', '--all', '--time', '0').catch(() => {});
      service.kill('SIGKILL');
      await until('podman has ended', () => service.exitCode !== null || service.signalCode !== null);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
