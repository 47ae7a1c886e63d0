import type { Delta, Snapshot, WireIdentity, WirePolicy, WireWorkload } from '../api/agent-stream.ts';
import type { NamedSet } from '../core/match-derived.ts';

/** `sets`: of this host alone, see derived-identity.ts. */
export type WorkloadHere = WireWorkload & { readonly sets?: readonly NamedSet[] };

/** What the control plane wants, whole. A revision is (uid, number); see DESIGN law 5. */
export interface DesiredState {
  readonly uid: string;
  readonly revision: number;
  readonly clusterName: string;
  readonly workloads: ReadonlyMap<string, WorkloadHere>;
  readonly policies: ReadonlyMap<string, WirePolicy>;
  readonly namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly identities: ReadonlyMap<number, WireIdentity>;
}

export const EMPTY_STATE: DesiredState = {
  uid: '',
  revision: 0,
  clusterName: 'default',
  workloads: new Map(),
  policies: new Map(),
  namespaces: new Map(),
  identities: new Map(),
};

export function fromSnapshot(snapshot: Snapshot): DesiredState {
  return {
    uid: snapshot.uid,
    revision: snapshot.revision,
    clusterName: snapshot.clusterName,
    workloads: new Map(snapshot.workloads.map((workload) => [workloadKey(workload), workload])),
    policies: new Map(snapshot.policies.map((policy) => [policyKey(policy), policy])),
    namespaces: new Map(Object.entries(snapshot.namespaces)),
    identities: new Map(snapshot.identities.map((identity) => [identity.id, identity])),
  };
}

/** A new state; deletes come first, so that a name can be deleted and put in one revision. */
export function withDelta(state: DesiredState, { revision, put, delete: gone }: Delta): DesiredState {
  return {
    ...state,
    revision,
    workloads: changed(state.workloads, gone.workloads, entries(put.workloads, workloadKey)),
    policies: changed(state.policies, gone.policies, entries(put.policies, policyKey)),
    namespaces: changed(state.namespaces, gone.namespaces, Object.entries(put.namespaces ?? {})),
    identities: changed(
      state.identities,
      gone.identities,
      entries(put.identities, ({ id }) => id),
    ),
  };
}

/** The snapshot that `fromSnapshot` reads: how a state is kept on disk. */
export function toSnapshot(state: DesiredState): Snapshot {
  return {
    type: 'snapshot',
    uid: state.uid,
    revision: state.revision,
    clusterName: state.clusterName,
    workloads: [...state.workloads.values()],
    policies: [...state.policies.values()],
    namespaces: Object.fromEntries(state.namespaces),
    identities: [...state.identities.values()],
  };
}

export function policyKey({
  kind,
  namespace,
  name,
}: {
  kind: string;
  namespace?: string | undefined;
  name: string;
}): string {
  return namespace === undefined ? `${kind}/${name}` : `${kind}/${namespace}/${name}`;
}

export function workloadKey({ namespace, name }: { namespace: string; name: string }): string {
  return `${namespace}/${name}`;
}

function entries<K, V>(values: readonly V[] | undefined, key: (value: V) => K): [K, V][] {
  return (values ?? []).map((value) => [key(value), value]);
}

function changed<K, V>(
  from: ReadonlyMap<K, V>,
  gone: readonly K[] | undefined,
  put: Iterable<readonly [K, V]>,
): ReadonlyMap<K, V> {
  const list = [...put];
  if (list.length === 0 && (gone ?? []).length === 0) return from;
  const next = new Map(from);
  for (const key of gone ?? []) next.delete(key);
  for (const [key, value] of list) next.set(key, value);
  return next;
}
