/** The stored state as the compiler's world. What did not change is the same object, so that little is compiled again. */

import { cidrPrefixes, type World } from '../core/compile.ts';
import { type Identity, localIdentity, type PortProtocolName, toIdentityId } from '../core/identity.ts';
import type { Policy } from '../core/policy.ts';
import { indexLabels, type LabelIndex, selects } from '../core/selector.ts';
import { withNamespaceLabels } from '../core/world.ts';
import { CLUSTER_NAME } from './plan.ts';
import { policyOf, type State, type StoredIdentity, type StoredNamespace } from './state.ts';

/** Numbers prefixes like an agent does, for itself: each prefix keeps the number that it once got. */
export class PrefixNumbers {
  readonly #numbers = new Map<string, number>();

  get(prefix: string): number {
    let number = this.#numbers.get(prefix);
    if (number === undefined) {
      number = this.#numbers.size + 1;
      this.#numbers.set(prefix, number);
    }
    return number;
  }
}

export function toWorld(state: State, numbers: PrefixNumbers): World {
  const policies = [...state.policies.values()].map(policyOf).filter((policy) => policy !== undefined);
  return {
    identities: [...state.identities.values()].filter(({ workloads }) => workloads.length > 0).map(toCoreIdentity),
    cidrs: cidrPrefixes(policies).map((prefix) => ({ id: localIdentity(numbers.get(prefix)), prefix })),
    policies,
    namespaces: namespacesOf(state),
    clusterName: CLUSTER_NAME,
  };
}

const identities = new WeakMap<StoredIdentity, Identity>();

function toCoreIdentity(stored: StoredIdentity): Identity {
  let identity = identities.get(stored);
  if (identity === undefined) {
    const ports = stored.ports === undefined ? undefined : Object.entries(stored.ports).map(toPort);
    identity = {
      id: toIdentityId(stored.id),
      labels: stored.labels,
      ...(ports !== undefined && { ports: Object.fromEntries(ports) }),
    };
    identities.set(stored, identity);
  }
  return identity;
}

function toPort([name, text]: [string, string]) {
  const [port = '', protocol = ''] = text.split('/');
  return [name, { port: Number(port), protocol: protocol as PortProtocolName }] as const;
}

const namespaces = new WeakMap<object, World['namespaces']>();

function namespacesOf(state: State): World['namespaces'] {
  let known = namespaces.get(state.namespaces);
  if (known === undefined) {
    known = Object.fromEntries([...state.namespaces].map(([name, { labels }]) => [name, labels]));
    namespaces.set(state.namespaces, known);
  }
  return known;
}

/** Identities of registered workloads that at least one rule of `policy` selects. */
export function selectedIdentities(policy: Policy, state: State): StoredIdentity[] {
  const subjects = [...new Set(policy.rules.map((rule) => rule.subject))];
  return [...state.identities.values()].filter((identity) => {
    if (identity.workloads.length === 0) return false;
    const index = labelIndexOf(identity, state);
    return subjects.some((subject) => selects(subject, index));
  });
}

const labelIndexes = new WeakMap<StoredIdentity, { namespace: StoredNamespace | undefined; index: LabelIndex }>();

/** Kept for as long as neither the identity nor its namespace changes. */
function labelIndexOf(identity: StoredIdentity, state: State): LabelIndex {
  const namespace = state.namespaces.get(identity.workloads[0]!.split('/')[0]!);
  const known = labelIndexes.get(identity);
  if (known !== undefined && known.namespace === namespace) return known.index;
  const index = indexLabels(withNamespaceLabels(toCoreIdentity(identity), namespacesOf(state)).labels);
  labelIndexes.set(identity, { namespace, index });
  return index;
}
