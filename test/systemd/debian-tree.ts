import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
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
