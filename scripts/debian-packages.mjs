import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { runCommand } from './run-command.mjs';
import { Unmet } from './step.mjs';

const multiarch = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }[process.arch] ?? '';
const command = (name) => () =>
  ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'].some((folder) =>
    existsSync(`${folder}/${name}`),
  );
const file = (path) => () => existsSync(path);
const library = (name) => () =>
  [`/usr/lib/${multiarch}`, `/lib/${multiarch}`, '/usr/lib64', '/usr/lib', '/usr/local/lib'].some((folder) =>
    existsSync(`${folder}/${name}`),
  );

/**
 * What Postern needs from the distribution, asked for by what it is used for, so that another package or a
 * local build that gives the same counts as present. `service` is what the package would start by itself.
 */
export const debianNeeds = {
  run: [
    { package: 'libatomic1', why: 'the pinned Node is linked with it', present: library('libatomic.so.1') },
    { package: 'libstdc++6', why: 'the pinned Node is linked with it', present: library('libstdc++.so.6') },
    { package: 'libbpf1', why: 'loads the BPF programs', present: library('libbpf.so.1') },
    { package: 'libelf1', why: 'libbpf reads the object with it', present: library('libelf.so.1') },
  ],
  build: [
    { package: 'clang', why: 'compiles bpf/', present: command('clang') },
    { package: 'libbpf-dev', why: 'bpf_helpers.h', present: file('/usr/include/bpf/bpf_helpers.h') },
    { package: 'linux-libc-dev', why: 'linux/bpf.h', present: file('/usr/include/linux/bpf.h') },
  ],
  test: [
    { package: 'nginx-light', why: 'end-to-end tests', present: command('nginx'), service: 'nginx' },
    { package: 'redis-server', why: 'end-to-end tests', present: command('redis-server'), service: 'redis-server' },
    { package: 'openssh-server', why: 'the never-locked-out test', present: command('sshd'), service: 'ssh' },
    {
      package: 'postgresql',
      why: "the server's tests on Debian's PostgreSQL",
      present: debianPostgres,
      service: 'postgresql',
    },
    { package: 'curl', why: 'end-to-end tests', present: command('curl') },
    { package: 'iproute2', why: 'network namespaces', present: command('ip') },
    { package: 'nftables', why: 'the bench compares with it', present: command('nft') },
    { package: 'procps', why: 'tests read processes', present: command('ps') },
    { package: 'util-linux', why: 'nsenter, setpriv', present: command('setpriv') },
    { package: 'bpftool', why: 'tests ask it what is loaded', present: command('bpftool') },
    { package: 'debootstrap', why: 'tests boot a Debian with systemd', present: command('debootstrap') },
    { package: 'btrfs-progs', why: 'tests of paths on btrfs', present: command('mkfs.btrfs') },
    { package: 'slirp4netns', why: 'attacks through a network in user space', present: command('slirp4netns') },
    { package: 'passt', why: 'attacks through a network in user space', present: command('pasta') },
    { package: 'gcc', why: 'traffic programs of the tests', present: command('gcc') },
    { package: 'libc6-dev', why: 'traffic programs of the tests', present: file('/usr/include/stdio.h') },
  ],
};

/** Installs what is missing of `groups`, on Debian and as root; otherwise throws with the line to type. */
export function ensureDebianPackages(groups) {
  const needs = groups.flatMap((group) => debianNeeds[group]);
  const missing = needs.filter((need) => !need.present());
  if (missing.length === 0) return `all ${needs.length} present`;
  const names = missing.map((need) => need.package);
  const what = missing.map((need) => `${need.package} (${need.why})`).join(', ');
  const line = `apt-get install --no-install-recommends ${names.join(' ')}`;
  if (!existsSync('/usr/bin/apt-get')) throw new Unmet(`not a Debian system; install what gives ${what}`);
  if (process.getuid() !== 0) throw new Unmet(`missing ${what}; as root: ${line}`);
  installQuietly(names);
  keepServicesOff(missing);
  const still = missing.filter((need) => !need.present()).map((need) => need.package);
  if (still.length > 0)
    throw new Unmet(`not to be had here: ${still.join(', ')} (Postern needs Debian 12, Ubuntu 24.04 or newer)`);
  return `installed ${names.join(' ')}`;
}

/** While this file answers 101, no maintainer script starts a service. One that the machine has already is left alone. */
const policyFile = '/usr/sbin/policy-rc.d';

function installQuietly(names) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_SUSPEND: '1', LC_ALL: 'C' };
  const apt = (...args) => runCommand('apt-get', ['-qq', '-o', 'DPkg::Lock::Timeout=120', ...args], { env });
  const ownPolicy = !existsSync(policyFile);
  if (ownPolicy) writeFileSync(policyFile, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    apt('update');
    const install = (some) => apt('install', '-y', '--no-install-recommends', ...some);
    try {
      install(names);
    } catch (error) {
      if (names.length === 1) throw error;
      for (const name of names) tryOne(() => install([name]));
    }
  } finally {
    if (ownPolicy) rmSync(policyFile, { force: true });
  }
}

/** What one package lacks is told afterwards, by name, from what is still missing. */
function tryOne(install) {
  try {
    install();
  } catch {}
}

/** A package that came only for the tests must not start at the next boot either. */
function keepServicesOff(installed) {
  if (!existsSync('/run/systemd/system')) return;
  for (const { service } of installed)
    if (service) tryOne(() => runCommand('systemctl', ['disable', '--now', service]));
}

function debianPostgres() {
  const base = '/usr/lib/postgresql';
  return existsSync(base) && readdirSync(base).some((version) => existsSync(`${base}/${version}/bin/postgres`));
}
