import type { CompiledDirection, CompiledIdentity, PortTable, World } from '../core/compile.ts';
import { type IdentityId, RESERVED } from '../core/identity.ts';

/** What who is not known yet may do, until it is: everything, or what policy says of `reserved:init`. */
export type PendingSetting = 'allow' | 'deny';

export const INIT = RESERVED.init as IdentityId;

/** Named by flows as what decided. */
export const PROVISIONAL_RULE = 'provisional: it is not decided yet who this is';

const ALLOW: PortTable = { entries: [], fallback: { verdict: 'allow', rules: [PROVISIONAL_RULE] } };

/**
 * The host's setting, after the compiler. Under `allow` nothing is enforced for init itself, and to everybody else init
 * is a peer who may; once it is known, its connections are judged again.
 */
export function withPending(
  id: number,
  compiled: CompiledIdentity | undefined,
  setting: PendingSetting,
): CompiledIdentity | undefined {
  if (setting === 'deny' || compiled === undefined) return compiled;
  if (id === INIT) return undefined;
  return { ...compiled, ingress: admitting(compiled.ingress), egress: admitting(compiled.egress) };
}

function admitting(direction: CompiledDirection): CompiledDirection {
  return direction.enforced ? { ...direction, peers: new Map([...direction.peers, [INIT, ALLOW]]) } : direction;
}

/** Under `deny` init is an endpoint like others: default deny, and what policies grant `reserved:init`. */
export function withInit(world: World, setting: PendingSetting): World {
  if (setting === 'allow') return world;
  return { ...world, identities: [...world.identities, { id: INIT, labels: ['reserved:init'] }] };
}
