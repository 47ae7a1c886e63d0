/**
 * A revision in the making: the state it starts from and what it changes. Pure but for the uids, which the caller
 * draws. Objects that a write touches go through `put` and `remove`; identities follow from the workloads.
 */
import type { ApplyResult } from '../api/apply.ts';
import type { Meta } from '../api/meta.ts';
import { applyRevision, type Change, type Collection, type Revision, type State, type StoredOf } from './state.ts';

export interface Author {
  /** The revision that this write becomes. */
  readonly revision: number;
  /** RFC 3339 */
  readonly now: string;
  /** `uid:0` */
  readonly actor: string;
  newUid(): string;
}

export class Draft {
  readonly base: State;
  readonly author: Author;
  readonly results: ApplyResult[] = [];
  readonly #changes = new Map<string, Change>();

  constructor(base: State, author: Author) {
    this.base = base;
    this.author = author;
  }

  get<C extends Collection>(collection: C, key: string): StoredOf[C] | undefined {
    const change = this.#changes.get(`${collection} ${key}`);
    if (change === undefined) return this.base[collection].get(key) as StoredOf[C] | undefined;
    return change.type === 'DELETED' && collection !== 'identities' ? undefined : (change.object as StoredOf[C]);
  }

  put<C extends Collection>(collection: C, key: string, object: StoredOf[C]): void {
    const before = this.base[collection].get(key) as StoredOf[C] | undefined;
    const gone = before === undefined || isUnused(before);
    const type = isUnused(object) ? 'DELETED' : gone ? 'ADDED' : 'MODIFIED';
    this.#set({ collection, key, type, object, ...(before !== undefined && { before }) } as Change);
  }

  remove(collection: Exclude<Collection, 'identities'>, key: string): void {
    const before = this.base[collection].get(key);
    if (before === undefined) this.#changes.delete(`${collection} ${key}`);
    else this.#set({ collection, key, type: 'DELETED', object: before, before } as Change);
  }

  /** Meta of an object that this write makes or changes. */
  metaOf(before: { readonly meta: Meta } | undefined): Meta {
    const { revision, now, actor } = this.author;
    return {
      uid: before?.meta.uid ?? this.author.newUid(),
      revision,
      createdAt: before?.meta.createdAt ?? now,
      updatedAt: now,
      updatedBy: actor,
    };
  }

  /** In the order in which an agent may apply them: what others refer to first. */
  get changes(): Change[] {
    const order: Record<Collection, number> = {
      namespaces: 0,
      identities: 1,
      workloads: 2,
      hostWorkloads: 2,
      policies: 3,
    };
    return [...this.#changes.values()].sort((a, b) => order[a.collection] - order[b.collection]);
  }

  get revision(): Revision {
    return { revision: this.author.revision, changes: this.changes };
  }

  get next(): State {
    return applyRevision(this.base, this.revision);
  }

  #set(change: Change): void {
    this.#changes.set(`${change.collection} ${change.key}`, change);
  }
}

function isUnused(object: object): boolean {
  return 'unusedSince' in object && object.unusedSince !== undefined;
}
