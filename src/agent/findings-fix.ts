import type { DropIn } from '../api/findings.ts';

/** What a unit should be without. */
export interface UnitNeeds {
  readonly unit: string;
  /** `namespace/name`, those that run in it. */
  readonly workloads: readonly string[];
  readonly capabilities: readonly string[];
  /** Ambient ones that may stay; undefined = none of them has to go. */
  readonly ambient?: readonly string[];
  readonly sockets: readonly string[];
  /** Others run as this user too; of several the least. */
  readonly sharedUid?: number;
  readonly ownsCgroup: boolean;
}

/**
 * Settings that only take away: `~` removes from what a list of the unit has, and never widens it. All of a unit in one
 * file, so that one finding's does not replace another's.
 */
export function toDropIn(needs: UnitNeeds): DropIn {
  const { unit, workloads, capabilities, ambient, sockets, ownsCgroup } = needs;
  const own = ambient === undefined ? [] : ['AmbientCapabilities=', ...ambientLine(ambient)];
  const lines = [
    `# From "postern doctor", for ${workloads.join(', ')}. It takes rights away: see that the service does without.`,
    `# Then: ${restartCommand(unit)}`,
    '[Service]',
    ...(capabilities.length > 0 ? [`CapabilityBoundingSet=~${capabilities.join(' ')}`, ...own] : []),
    ...(capabilities.includes('CAP_NET_RAW') ? ['RestrictAddressFamilies=~AF_PACKET AF_XDP AF_VSOCK'] : []),
    'NoNewPrivileges=yes',
    ...sockets.map((path) => `InaccessiblePaths=-${path}`),
    ...(ownsCgroup ? ['Delegate=no'] : []),
    ...userLines(needs),
  ];
  return { unit, path: `/etc/systemd/system/${unit}.d/50-postern.conf`, content: `${lines.join('\n')}\n` };
}

export function restartCommand(unit: string): string {
  return `systemctl daemon-reload && systemctl restart ${unit}`;
}

/** As systemd and useradd take it: at most 31 characters. */
export function userNameFor(workload: string): string {
  const name = workload
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 31)
    .replace(/^-+|-+$/g, '');
  return /^[a-z]/.test(name) ? name : `w-${name}`.slice(0, 31);
}

export function addUserCommand(name: string): string {
  return `useradd --system --user-group --no-create-home --shell /usr/sbin/nologin ${name}`;
}

/** Who is root has files and ports of root: that is for a person to decide. */
function userLines({ sharedUid, workloads }: UnitNeeds): string[] {
  if (sharedUid === undefined) return [];
  const name = userNameFor(workloads[0]!);
  const add = `# ${addUserCommand(name)}`;
  if (sharedUid === 0)
    return [
      '# It runs as root. A user of its own, with the files and ports that it needs, by hand:',
      add,
      `#User=${name}`,
      `#Group=${name}`,
    ];
  return ['# First, and with the files that the service writes:', add, `User=${name}`, `Group=${name}`];
}

function ambientLine(ambient: readonly string[]): string[] {
  return ambient.length === 0 ? [] : [`AmbientCapabilities=${ambient.join(' ')}`];
}
