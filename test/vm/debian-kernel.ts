import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
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

/**
 * Debian's own kernel as apt has it, unpacked and not installed: `6.1` is what the machine's sources give (bookworm's),
 * `backports` the newest of that release's backports.
 */
export function debianKernel(which = '6.1'): GuestKernel {
  if (which !== '6.1' && which !== 'backports') throw new Error(`POSTERN_VM_KERNEL=${which}: 6.1 or backports`);
  const apt = which === 'backports' ? backports() : [];
  const meta = 'linux-image-cloud-amd64';
  const depends = execFileSync('apt-cache', [...apt, 'depends', meta], { encoding: 'utf8' });
  const name = /Depends: (linux-image-(\S+))/.exec(depends);
  if (name === null) throw new Error(`apt knows no ${meta}: npm run test:vm needs a Debian on x86_64`);
  const [, packageName, release] = name as unknown as [string, string, string];
  const tree = join(CACHE, release);
  if (!existsSync(join(tree, 'boot', `vmlinuz-${release}`))) {
    mkdirSync(tree, { recursive: true });
    execFileSync('apt-get', [...apt, '-qq', 'download', packageName], { cwd: CACHE, stdio: 'inherit' });
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

/** Options of apt with which it knows the backports, and nothing else: the machine's own sources stay as they are. */
function backports(): string[] {
  const targets = execFileSync(
    'apt-get',
    ['indextargets', '--format', '$(REPO_URI) $(CODENAME)', 'Created-By: Packages', 'Origin: Debian'],
    { encoding: 'utf8' },
  );
  const [uri, codename] = (targets.split('\n').find((line) => / [a-z]+$/.test(line)) ?? '').split(' ');
  if (codename === undefined) throw new Error('apt has no source of Debian: run npm run test:vm on a Debian');
  const folder = join(CACHE, 'backports');
  for (const name of ['lists/partial', 'archives/partial']) mkdirSync(join(folder, name), { recursive: true });
  const sources = join(folder, 'sources.list');
  const key = '/usr/share/keyrings/debian-archive-keyring.gpg';
  writeFileSync(sources, `deb [signed-by=${key}] ${uri} ${codename}-backports main\n`);
  const options = [
    ...['-o', `Dir::Etc::SourceList=${sources}`, '-o', 'Dir::Etc::SourceParts=/dev/null'],
    ...['-o', `Dir::State::lists=${folder}/lists`, '-o', `Dir::Cache=${folder}`],
  ];
  execFileSync('apt-get', [...options, '-qq', 'update'], { stdio: 'inherit' });
  return options;
}

/** What the host lacks for the guest is fetched by apt. */
export function ensureHostTools(): void {
  const needs = [
    ['/usr/bin/qemu-system-x86_64', 'qemu-system-x86'],
    ['/bin/busybox', 'busybox-static'],
    ['/sbin/depmod', 'kmod'],
    ['/usr/bin/slirp4netns', 'slirp4netns'],
    ['/usr/bin/pasta', 'passt'],
  ] as const;
  const missing = needs.filter(([file]) => !existsSync(file)).map(([, name]) => name);
  if (missing.length === 0) return;
  const options = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, stdio: 'inherit' as const };
  execFileSync('apt-get', ['-qq', 'update'], options);
  execFileSync('apt-get', ['-qq', 'install', '-y', '--no-install-recommends', ...missing], options);
}
