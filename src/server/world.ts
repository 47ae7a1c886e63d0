/** The stored state as the compiler's world. What did not change is the same object, so that little is compiled again. */

import { cidrPrefixes, policyPrefixes } from '../core/cidr-prefixes.ts';
import type { World } from '../core/compile.ts';
import { type Identity, localIdentity, toIdentityId } from '../core/identity.ts';
import { LISTENING, type NamedPort, readNamedPorts } from '../core/named-port.ts';
import type { Policy } from '../core/policy.ts';
import { indexLabels, type LabelIndex, type Selector, selects } from '../core/selector.ts';
import { withNamespaceLabels } from '../core/world.ts';
import { CLUSTER_NAME } from './plan.ts';
import { policyOf, type State, type StoredIdentity } from './state.ts';

/** Numbers prefixes like an agent does, for itself: each prefix keeps the number that it once got. */
export class PrefixNumbers {
  readonly #numbered = new Map<string, World['cidrs'][number]>();
  #of: readonly (readonly string[])[] = [];
  #all: World['cidrs'] = [];

  /** The same prefixes again are the same array again: ten thousand are not sorted for every change. */
  all(policies: readonly Policy[]): World['cidrs'] {
    const lists = policies.map(policyPrefixes);
    const isSame = lists.length === this.#of.length && lists.every((list, i) => sameTexts(list, this.#of[i]!));
    this.#of = lists;
    if (!isSame) this.#all = cidrPrefixes(policies).map((prefix) => this.#get(prefix));
    return this.#all;
  }

  #get(prefix: string): World['cidrs'][number] {
    let numbered = this.#numbered.get(prefix);
    if (numbered === undefined) {
      numbered = { id: localIdentity(this.#numbered.size + 1), prefix };
      this.#numbered.set(prefix, numbered);
    }
    return numbered;
  }
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((text, i) => text === b[i]));
}

/** @param listening what an identity listens on, as the hosts report it; absent = nothing */
export function toWorld(
  state: State,
  numbers: PrefixNumbers,
  listening: (identity: number) => readonly NamedPort[] = () => [],
): World {
  const policies = [...state.policies.values()].map(policyOf).filter((policy) => policy !== undefined);
  return {
    identities: [...state.identities.values()]
      .filter(({ workloads }) => workloads.length > 0)
      .map((stored) => toCoreIdentity(stored, listening)),
    cidrs: numbers.all(policies),
    policies,
    namespaces: namespacesOf(state),
    clusterName: CLUSTER_NAME,
  };
}

const identities = new WeakMap<StoredIdentity, Identity>();

function toCoreIdentity(
  stored: StoredIdentity,
  listening: (identity: number) => readonly NamedPort[] = () => [],
): Identity {
  const isListening = Object.values(stored.ports ?? {}).includes(LISTENING);
  let identity = isListening ? undefined : identities.get(stored);
  if (identity === undefined) {
    const ports = readNamedPorts(stored.ports ?? {}, () => listening(stored.id));
    identity = {
      id: toIdentityId(stored.id),
      labels: stored.labels,
      ...(ports !== undefined && { ports }),
      ...(stored.mode !== undefined && { mode: stored.mode }),
    };
    identities.set(stored, identity);
  }
  return identity;
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
  return identitiesOf(new Set(policy.rules.filter(({ host }) => !host).map(({ subject }) => subject)), state);
}

/** Identities of registered workloads that an allow rule of `policy` for ingress names by label. */
export function allowedSources(policy: Policy, state: State): StoredIdentity[] {
  const peers = policy.rules
    .filter(({ direction, deny }) => direction === 'ingress' && !deny)
    .flatMap((rule) => rule.peers ?? []);
  return identitiesOf(new Set(peers.flatMap((peer) => (peer.type === 'endpoints' ? [peer.selector] : []))), state);
}

function identitiesOf(selectors: ReadonlySet<Selector>, state: State): StoredIdentity[] {
  if (selectors.size === 0) return [];
  return candidatesOf(state)
    .filter(({ labels }) => [...selectors].some((selector) => selects(selector, labels)))
    .map(({ identity }) => identity);
}

interface Candidate {
  readonly identity: StoredIdentity;
  readonly labels: LabelIndex;
}

const candidates = new WeakMap<object, { namespaces: object; list: Candidate[] }>();
const labelIndexes = new WeakMap<StoredIdentity, { namespaces: object; labels: LabelIndex }>();

/** Kept for as long as neither identities nor namespaces change; what one identity's labels are, for longer. */
function candidatesOf(state: State): Candidate[] {
  const known = candidates.get(state.identities);
  if (known?.namespaces === state.namespaces) return known.list;
  const list = [...state.identities.values()]
    .filter(({ workloads }) => workloads.length > 0)
    .map((identity) => ({ identity, labels: labelsOf(identity, state) }));
  candidates.set(state.identities, { namespaces: state.namespaces, list });
  return list;
}

function labelsOf(identity: StoredIdentity, state: State): LabelIndex {
  const known = labelIndexes.get(identity);
  if (known?.namespaces === state.namespaces) return known.labels;
  const labels = indexLabels(withNamespaceLabels(toCoreIdentity(identity), namespacesOf(state)).labels);
  labelIndexes.set(identity, { namespaces: state.namespaces, labels });
  return labels;
}
