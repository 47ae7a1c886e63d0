import { cgroupChain, gainedAt, isPlaced, isUnitCgroup, toClause } from '../core/match-clause.ts';
import type { ProgramClause } from '../core/match-program.ts';

/**
 * Cgroups in which a process has the `systemd:` and `container:` labels that it has where it is, and in which its clause holds:
 * the deepest of those that say so. Of a service, its socket's too, since what listens there is the service's.
 */
export function placesOf(claim: ProgramClause, cgroup: string, container: string | undefined): string[] {
  const chain = cgroupChain(cgroup);
  const clause = toClause(claim.registered ?? claim.source, claim.places);
  const gained = isPlaced(clause) ? gainedAt(clause, chain, claim.sockets) : undefined;
  const unit = unitCgroup(chain);
  const found = [gained, unit, sliceCgroup(chain), container?.replace(/^\//, '')].filter((path) => path !== undefined);
  const place = found.sort((a, b) => b.length - a.length)[0];
  if (place === undefined) return [];
  const socket = claim.kind === 'cgroup' && place === unit ? place.replace(/\.service$/, '.socket') : place;
  const isIt = socket !== place && gainedAt(clause, cgroupChain(socket), claim.sockets) !== undefined;
  return isIt ? [place, socket] : [place];
}

/** The unit of the system manager that it is in. */
export function unitCgroup(chain: readonly string[]): string | undefined {
  return chain.find((path) => isUnitCgroup(path, (name) => /\.(service|scope|socket)$/.test(name)));
}

export function sliceCgroup(chain: readonly string[]): string | undefined {
  return chain.findLast((path) => isUnitCgroup(path, (name) => name.endsWith('.slice')));
}
