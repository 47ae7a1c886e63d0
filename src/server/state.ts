/**
 * The desired state in memory, a value: it is replaced, never changed, when a revision commits. What is here is what
 * lists, watches, agents and the compiler need; the text of policies stays in the database.
 */

import type { Meta } from '../api/meta.ts';
import type { PolicyKindName } from '../api/policy.ts';
import type { WorkloadSpec } from '../api/workload.ts';
import type { Policy } from '../core/policy.ts';

export interface StoredNamespace {
  readonly name: string;
  /** As the user gave them. */
  readonly labels: Readonly<Record<string, string>>;
  readonly meta: Meta;
  readonly createdRevision: number;
}

export interface StoredWorkload {
  readonly namespace: string;
  readonly name: string;
  readonly spec: WorkloadSpec;
  readonly identity: number;
  readonly meta: Meta;
  readonly createdRevision: number;
}

/** From a file of one host (`workloads.d`): the agent names its processes, the control plane gives the identity. */
export interface StoredHostWorkload extends StoredWorkload {
  readonly host: string;
  /** Path on that host. */
  readonly file: string;
}

export interface StoredPolicy {
  readonly kind: PolicyKindName;
  readonly namespace?: string;
  readonly name: string;
  readonly document: Readonly<Record<string, unknown>>;
  readonly textHash: string;
  readonly meta: Meta;
  readonly createdRevision: number;
}

export interface StoredIdentity {
  readonly id: number;
  readonly labels: readonly string[];
  /** Keys of the workloads that have it, sorted; empty = kept so that its number is not reused too soon. */
  readonly workloads: readonly string[];
  readonly ports?: Readonly<Record<string, string>>;
  /** Of its workloads; absent = enforce. */
  readonly mode?: 'observe' | 'audit';
  readonly unusedSince?: string;
}

export interface StoredOf {
  namespaces: StoredNamespace;
  workloads: StoredWorkload;
  hostWorkloads: StoredHostWorkload;
  policies: StoredPolicy;
  identities: StoredIdentity;
}
export type Collection = keyof StoredOf;
export const COLLECTIONS = ['namespaces', 'identities', 'workloads', 'hostWorkloads', 'policies'] as const;

export interface State {
  readonly uid: string;
  readonly revision: number;
  /** name → */
  readonly namespaces: ReadonlyMap<string, StoredNamespace>;
  /** `namespace/name` → */
  readonly workloads: ReadonlyMap<string, StoredWorkload>;
  /** `namespace/name@host` → */
  readonly hostWorkloads: ReadonlyMap<string, StoredHostWorkload>;
  /** `cnp/namespace/name`, `ccnp/name` → */
  readonly policies: ReadonlyMap<string, StoredPolicy>;
  /** String of the id → */
  readonly identities: ReadonlyMap<string, StoredIdentity>;
}

/** One line of the change log: what an object became, or, when deleted, what it was. */
export type Change = {
  [C in Collection]: {
    readonly collection: C;
    readonly key: string;
    readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
    readonly object: StoredOf[C];
    readonly before?: StoredOf[C];
  };
}[Collection];

/** All that one revision changed. */
export interface Revision {
  readonly revision: number;
  readonly changes: readonly Change[];
}

export function applyRevision(state: State, { revision, changes }: Revision): State {
  const next: Record<Collection, Map<string, unknown>> = { ...state } as never;
  for (const collection of COLLECTIONS) {
    const touched = changes.filter((change) => change.collection === collection);
    if (touched.length === 0) continue;
    const map = new Map<string, unknown>(state[collection]);
    for (const { key, type, object } of touched) {
      // An identity without workloads stays, so that its number does.
      if (type === 'DELETED' && collection !== 'identities') map.delete(key);
      else map.set(key, object);
    }
    next[collection] = map;
  }
  return { ...(next as unknown as State), revision };
}

export function policyKey(kind: string, namespace: string | undefined, name: string): string {
  return namespace === undefined ? `${kind}/${name}` : `${kind}/${namespace}/${name}`;
}

/** Core's reading of a stored document; read once per document. */
const parsed = new WeakMap<object, Policy>();

export function rememberPolicy(document: object, policy: Policy): void {
  parsed.set(document, policy);
}

export function policyOf(stored: StoredPolicy): Policy | undefined {
  return parsed.get(stored.document);
}
