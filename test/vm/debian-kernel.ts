import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

export interface GuestKernel {
  readonly release: string;
  readonly image: string;
  readonly config: string;
  /** Folder of its modules, "…/lib/modules/<release>". */
  readonly modules: string;
}

/** Outside of the repository: what was fetched once is there for the next run. */
export const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'postern-vm');

/** Debian's own kernel as the machine's apt sources have it, unpacked and not installed. */
export function debianKernel(): GuestKernel {
  const meta = 'linux-image-cloud-amd64';
  const depends = execFileSync('apt-cache', ['depends', meta], { encoding: 'utf8' });
  const name = /Depends: (linux-image-(\S+))/.exec(depends);
  if (name === null) throw new Error(`apt knows no ${meta}: npm run test:vm needs a Debian on x86_64`);
  const [, packageName, release] = name as unknown as [string, string, string];
  const tree = join(CACHE, release);
  if (!existsSync(join(tree, 'boot', `vmlinuz-${release}`))) {
    mkdirSync(tree, { recursive: true });
    execFileSync('apt-get', ['-qq', 'download', packageName], { cwd: CACHE, stdio: 'inherit' });
    const deb = readdirSync(CACHE).find((file) => file.startsWith(`${packageName}_`));
    execFileSync('dpkg', ['-x', join(CACHE, deb!), tree]);
  }
  const modules = join(tree, 'lib/modules', release);
  if (!existsSync(join(modules, 'modules.dep'))) execFileSync('depmod', ['-b', tree, release]);
  return {
    release,
    image: join(tree, 'boot', `vmlinuz-${release}`),
    config: join(tree, 'boot', `config-${release}`),
    modules,
  };
}

/** What the host lacks for the guest is fetched by apt. */
export function ensureQemu(): void {
  const needs = [
    ['/usr/bin/qemu-system-x86_64', 'qemu-system-x86'],
    ['/bin/busybox', 'busybox-static'],
    ['/sbin/depmod', 'kmod'],
  ] as const;
  const missing = needs.filter(([file]) => !existsSync(file)).map(([, name]) => name);
  if (missing.length === 0) return;
  const options = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, stdio: 'inherit' as const };
  execFileSync('apt-get', ['-qq', 'update'], options);
  execFileSync('apt-get', ['-qq', 'install', '-y', '--no-install-recommends', ...missing], options);
}
