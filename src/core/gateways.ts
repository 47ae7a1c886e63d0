/**
 * Programs that start others on somebody's behalf. A gateway may place a process in another cgroup, whose label it then
 * has, and does not hand on the label that it gained itself: a login shell is not "sshd".
 *
 * Those that start **jobs**, programs of other people, moreover do not share the name of their unit: what cron starts is
 * in cron.service and is not cron; it has a name of its own, by its executable or script, or none. This is for the main
 * program of a unit only: a workload that runs such a program stays what it is.
 *
 * Paths are resolved ones, of an executable or of the script that an interpreter runs, as the kernel sees them at exec.
 */
export interface Gateway {
  readonly path: string;
  readonly startsJobs: boolean;
}

/** By path. */
export type Gateways = ReadonlyMap<string, Gateway>;

export const DEFAULT_GATEWAYS: Gateways = toGateways([
  ...gateways(false, [
    ...inSystemFolders([
      ...['init', 'systemd', 'openrc-init', 'runit', 'tini', 'dumb-init', 'login', 'agetty'],
      ...['su', 'sudo', 'doas', 'pkexec', 'runuser', 'setpriv', 'chpst', 'start-stop-daemon'],
      ...['machinectl', 'systemd-run', 'containerd', 'containerd-shim', 'containerd-shim-runc-v2', 'dockerd'],
      ...['docker-init', 'conmon', 'podman', 'runc', 'crun', 'lxc-start'],
    ]),
    ...inFolders(['/usr/lib/systemd', '/lib/systemd'], ['systemd', 'systemd-executor']),
  ]),
  ...gateways(true, [
    ...inSystemFolders([
      ...['sshd', 'dropbear', 'cron', 'crond', 'atd', 'anacron', 'monit', 'xinetd', 'inetd'],
      ...['runsvdir', 'runsv', 's6-svscan', 's6-supervise', 'supervisord', 'pm2'],
    ]),
    ...inFolders(['/usr/lib/openssh', '/usr/libexec/openssh'], ['sshd-session', 'sshd-auth']),
    ...inFolders(['/usr/lib/node_modules', '/usr/local/lib/node_modules'], ['pm2/lib/Daemon.js', 'pm2/bin/pm2']),
  ]),
]);

/** What a unit begins with and becomes another program, by its own words: that one is the unit's main program. No shells: they run what anybody tells them. */
export const EXECUTORS: readonly string[] = [
  ...inFolders(['/usr/lib/systemd', '/lib/systemd'], ['systemd-executor']),
  ...inSystemFolders([
    ...['env', 'nice', 'ionice', 'chrt', 'taskset', 'numactl', 'prlimit', 'stdbuf', 'setpriv', 'chroot'],
    ...['nsenter', 'unshare', 'ip'],
  ]),
];

/**
 * The list with an operator's changes: `/path` adds a gateway, `jobs:/path` one that starts jobs, `-/path` takes one away.
 * A path that is there already becomes what is said last. Errors: the words that are none of these.
 */
export function editGateways(words: readonly string[]): {
  readonly gateways: Gateways;
  readonly bad: readonly string[];
} {
  const list = new Map(DEFAULT_GATEWAYS);
  const bad: string[] = [];
  for (const word of words) {
    const match = /^(-|jobs:)?(\/[^/]+(?:\/[^/]+)*)$/.exec(word);
    const path = match?.[2];
    if (path === undefined || path.split('/').some((part) => part === '.' || part === '..')) bad.push(word);
    else if (match![1] === '-') list.delete(path);
    else list.set(path, { path, startsJobs: match![1] === 'jobs:' });
  }
  return { gateways: list, bad };
}

/** Of a process: by its executable, or by the script that its interpreter runs. */
export function gatewayOf(
  list: Gateways,
  process: { readonly exe?: string | undefined; readonly script?: string | undefined },
): Gateway | undefined {
  const byScript = process.script === undefined ? undefined : list.get(process.script);
  return byScript ?? (process.exe === undefined ? undefined : list.get(process.exe));
}

/**
 * Executables whose sockets are ahead of all policy, so that no rule locks anybody out: remote login and the host's
 * own address. Bound to the socket of such a process, never to a port.
 */
export const FAILSAFE_EXECUTABLES: readonly string[] = [
  ...inSystemFolders(['sshd', 'dhclient', 'dhcpcd', 'NetworkManager']),
  '/usr/lib/openssh/sshd-session',
  '/usr/libexec/openssh/sshd-session',
  '/usr/lib/systemd/systemd-networkd',
  '/lib/systemd/systemd-networkd',
];

function toGateways(list: readonly Gateway[]): Gateways {
  return new Map(list.map((gateway) => [gateway.path, gateway]));
}

function gateways(startsJobs: boolean, paths: readonly string[]): Gateway[] {
  return paths.map((path) => ({ path, startsJobs }));
}

function inSystemFolders(names: readonly string[]): string[] {
  return inFolders(['/usr/sbin', '/usr/bin', '/sbin', '/bin', '/usr/local/sbin', '/usr/local/bin'], names);
}

function inFolders(folders: readonly string[], names: readonly string[]): string[] {
  return names.flatMap((name) => folders.map((folder) => `${folder}/${name}`));
}
