import { cgroupChain, isUnitCgroup } from '../core/match-clause.ts';

/** The systemd unit, container or login session in which a process runs, told by its cgroup alone. */
export interface Unit {
  /** As systemctl prints it. */
  readonly name: string;
  readonly kind: 'service' | 'session' | 'container' | 'scope';
  /** Of its cgroup, without leading slash. */
  readonly path: string;
}

export function unitOf(cgroup: string): Unit | undefined {
  const path = cgroupChain(cgroup).find((path) => isUnitCgroup(path, (name) => /\.(service|scope)$/.test(name)));
  const name = path?.split('/').at(-1);
  if (path === undefined || name === undefined) return undefined;
  return { name, path, kind: kindOf(name) };
}

function kindOf(name: string): Unit['kind'] {
  // user@1000.service holds what a person's own systemd started.
  if (/^(session-.*\.scope|user@\d+\.service)$/.test(name)) return 'session';
  if (/^(docker|libpod|cri-containerd|crio)-[0-9a-f]{12,}\.scope$/.test(name)) return 'container';
  return name.endsWith('.scope') ? 'scope' : 'service';
}
