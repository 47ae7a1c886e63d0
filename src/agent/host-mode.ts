import type { World } from '../core/compile.ts';
import type { Identity } from '../core/identity.ts';
import { lesser, type Mode } from '../core/mode.ts';

/** The world as this host enforces it: nobody on it, not even the host itself, goes beyond the host's mode. */
export function withHostMode(world: World, mode: Mode): World {
  if (mode === 'enforce') return world;
  return { ...world, identities: world.identities.map((identity) => lowered(identity, mode)) };
}

/** The same identity gives the same object again: who did not change is not compiled again. */
const known = new WeakMap<Identity, Identity>();

/** A host has one mode for as long as its agent runs. */
function lowered(identity: Identity, host: Mode): Identity {
  let result = known.get(identity);
  if (result === undefined) {
    const mode = lesser(host, identity.mode);
    result = mode === 'enforce' ? identity : { ...identity, mode };
    known.set(identity, result);
  }
  return result;
}
