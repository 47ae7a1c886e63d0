import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const CACHE = process.env['POSTERN_TEST_CACHE'] ?? '/var/cache/postern-test';
const PACKAGES = [
  ...['systemd', 'libpam-systemd', 'dbus', 'openssh-server', 'openssh-client', 'sudo', 'cron', 'nginx-light'],
  ...['python3', 'supervisor', 'procps', 'iproute2'],
];

/**
 * A Debian 12 with systemd in a folder, made once by debootstrap (about 150 packages, 80 MB to fetch) and never changed
 * afterwards. It lies on the host's root file system, so that in its mount namespace /usr/sbin/sshd is the path of an
 * executable as on any host. `missing`: why there is none here.
 */
export function debianTree(
  name = 'debian-bookworm-1',
  packages: readonly string[] = PACKAGES,
): { path: string } | { missing: string } {
  const tree = join(CACHE, name);
  mkdirSync(CACHE, { recursive: true });
  if (statSync(CACHE).dev !== statSync('/').dev)
    return { missing: `package: debootstrap: ${CACHE} is not on the root file system; set POSTERN_TEST_CACHE` };
  const missing = existsSync(tree) ? undefined : build(tree, packages);
  if (missing !== undefined) return { missing: `package: debootstrap: ${missing}` };
  return { path: tree };
}

/** What a fleet runs besides: each by its own unit where Debian has one. Some 170 MB to fetch. */
const FLEET = [
  ...[
    'dbus-user-session',
    'docker.io',
    'containerd',
    'runc',
    'podman',
    'crun',
    'uidmap',
    'slirp4netns',
    'rpm',
    'libatomic1',
  ],
  ...['openjdk-17-jre-headless', 'tomcat10', 'apache2', 'haproxy', 'keepalived', 'vsftpd', 'xinetd', 'monit'],
  ...['rpcbind', 'nfs-common', 'nfs-ganesha', 'nfs-ganesha-vfs'],
];

/** Databases, a mail server, and what pm2 needs. Some 110 MB to fetch. */
const SERVERS = ['postgresql-15', 'mariadb-server', 'postfix', 'monit', 'nodejs'];
const PM2 = 'pm2@7.0.4';

/** The same Debian with more in it, made once from a copy of debianTree(). Nothing of it starts by itself. */
export function fleetTree(): { path: string } | { missing: string } {
  return extended('debian-bookworm-fleet-1', FLEET);
}

/** Another one: a tree of its own, so that either is made without the other. pm2, of npm, is in /usr/local/bin. */
export function serversTree(): { path: string } | { missing: string } {
  return extended('debian-bookworm-servers-1', SERVERS, PM2);
}

/** A new list of packages needs a new `name`: what is there is never changed. */
function extended(name: string, packages: readonly string[], npm?: string): { path: string } | { missing: string } {
  const base = debianTree();
  const tree = join(CACHE, name);
  if ('missing' in base) return base;
  const missing = existsSync(tree) ? undefined : extend(base.path, tree, packages, npm);
  return missing === undefined ? { path: tree } : { missing: `package: apt in a Debian tree: ${missing}` };
}

function extend(base: string, tree: string, packages: readonly string[], npm?: string): string | undefined {
  const partial = `${tree}.${process.pid}`;
  const drop = (): void => rmSync(partial, { recursive: true, force: true });
  execFileSync('cp', ['-a', '--reflink=auto', base, partial]);
  writeFileSync(join(partial, 'usr/sbin/policy-rc.d'), '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  const script = `
set -e
mount -t proc proc "$0/proc"
apt="apt-get -qq -o Dpkg::Options::=--force-unsafe-io -o Acquire::Retries=2"
chroot "$0" $apt update
chroot "$0" $apt install -y --no-install-recommends "$@"
chroot "$0" $apt clean
rm -rf "$0"/var/lib/apt/lists/* "$0/usr/sbin/policy-rc.d" "$0/etc/systemd/system" "$0"/etc/rc?.d
umount "$0/proc"
`;
  const alone = ['--mount', '--pid', '--fork', '--kill-child'];
  const env = { PATH: process.env['PATH'], LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
  const words = [...alone, 'sh', '-c', script, partial, ...packages];
  const made = spawnSync('unshare', words, { encoding: 'utf8', timeout: 240_000, env });
  if (made.error !== undefined || made.status !== 0) {
    drop();
    return made.error?.message ?? made.stderr.trimEnd().split('\n').at(-1) ?? `exit ${made.status}`;
  }
  if (npm !== undefined) {
    const quiet = ['--ignore-scripts', '--omit=optional', '--no-audit', '--no-fund', '--loglevel=error'];
    const words = ['install', '--global', ...quiet, `--prefix=${join(partial, 'usr/local')}`, npm];
    const got = spawnSync('npm', words, { encoding: 'utf8', timeout: 120_000 });
    if (got.error !== undefined || got.status !== 0) {
      drop();
      return `npm: ${got.error?.message ?? got.stderr.trimEnd().split('\n').at(-1)}`;
    }
  }
  // what is enabled there is enabled here, and nothing else
  execFileSync('sh', [
    '-c',
    'cp -a "$0"/etc/rc?.d "$1/etc" && cp -a "$0/etc/systemd/system" "$1/etc/systemd"',
    base,
    partial,
  ]);
  renameSync(partial, tree);
  return undefined;
}

function build(tree: string, packages: readonly string[]): string | undefined {
  if (spawnSync('debootstrap', ['--version']).error !== undefined)
    spawnSync('apt-get', ['install', '-y', '--no-install-recommends', 'debootstrap'], { timeout: 120_000 });
  const partial = `${tree}.${process.pid}`;
  // In namespaces of its own: what it mounts and starts ends with it, also when it runs out of time.
  const alone = ['--mount', '--pid', '--fork', '--kill-child'];
  const words = ['debootstrap', '--variant=minbase', `--include=${packages.join(',')}`, 'bookworm', partial];
  const env = { ...process.env, DPKG_FORCE: 'unsafe-io' };
  const made = spawnSync('unshare', [...alone, ...words], { encoding: 'utf8', timeout: 240_000, env });
  if (made.error !== undefined || made.status !== 0) {
    rmSync(partial, { recursive: true, force: true });
    return made.error?.message ?? made.stdout.trimEnd().split('\n').at(-1) ?? `exit ${made.status}`;
  }
  // what the first boot would otherwise do each time
  if (packages.includes('systemd')) execFileSync('chroot', [partial, 'systemd-machine-id-setup']);
  execFileSync('chroot', [partial, 'apt-get', 'clean']);
  renameSync(partial, tree);
  return undefined;
}
