import type { IdentityId } from '../core/identity.ts';
import { isLocalIdentity } from '../core/identity.ts';
import { identitiesOf } from '../core/world.ts';
import type { DesiredState } from './desired-state.ts';

const RESERVED = identitiesOf({ identities: [], cidrs: [], policies: [], namespaces: {}, clusterName: 'default' });

/** Labels of a number: registered, reserved, or (for a prefix of this host) none that another host would know. */
export function reservedOrWire(state: DesiredState, identity: number): readonly string[] {
  return (
    state.identities.get(identity)?.labels ??
    RESERVED.get(identity as IdentityId)?.labels ??
    (isLocalIdentity(identity) ? ['reserved:world'] : [])
  );
}
