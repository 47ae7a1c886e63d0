/**
 * Programs that start others on somebody's behalf. A gateway may place a process in another cgroup, whose label it then
 * has, and does not hand on the label that it gained itself: a login shell is not "sshd", a cron job not "cron".
 * The default list; the host's setting `gateways` replaces it. Paths are resolved ones, as the kernel sees them at exec.
 */
export const DEFAULT_GATEWAYS: readonly string[] = [
  ...inSystemFolders([
    ...['init', 'systemd', 'openrc-init', 'runit', 's6-svscan', 'tini', 'dumb-init'],
    ...['sshd', 'dropbear', 'login', 'agetty'],
    ...['cron', 'crond', 'atd', 'anacron'],
    ...[
      'su',
      'sudo',
      'doas',
      'pkexec',
      'runuser',
      'setpriv',
      'chpst',
      'start-stop-daemon',
      'machinectl',
      'systemd-run',
    ],
    ...['monit', 'xinetd', 'inetd', 'runsvdir', 'runsv', 's6-supervise'],
    ...[
      'containerd',
      'containerd-shim',
      'containerd-shim-runc-v2',
      'dockerd',
      'docker-init',
      'conmon',
      'podman',
      'runc',
      'crun',
      'lxc-start',
    ],
  ]),
  '/usr/lib/systemd/systemd',
  '/lib/systemd/systemd',
  '/usr/lib/systemd/systemd-executor',
  '/lib/systemd/systemd-executor',
  '/usr/lib/openssh/sshd-session',
  '/usr/libexec/openssh/sshd-session',
];

/** Gateways that are scripts: the executable is the interpreter, so they are known by their first path argument. */
export const DEFAULT_GATEWAY_SCRIPTS: readonly string[] = [
  ...inSystemFolders(['supervisord', 'pm2']),
  '/usr/lib/node_modules/pm2/lib/Daemon.js',
  '/usr/local/lib/node_modules/pm2/lib/Daemon.js',
];

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

function inSystemFolders(names: readonly string[]): string[] {
  return names.flatMap((name) =>
    ['/usr/sbin', '/usr/bin', '/sbin', '/bin', '/usr/local/sbin', '/usr/local/bin'].map(
      (folder) => `${folder}/${name}`,
    ),
  );
}
