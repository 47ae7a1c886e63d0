/** Core's `countEntries`, kept up to date from what changed instead of counted anew. */
import { type Capacity, tableEntries } from '../core/capacity.ts';
import type { CompiledIdentity, PortTable } from '../core/compile.ts';

export class EntryCount {
  readonly #identities = new Map<number, CompiledIdentity>();
  /** Table → how many peers use it. Equal tables are one object. */
  readonly #tables = new Map<PortTable, number>();
  #policyL3 = 0;
  #policyL4 = 0;

  get entries(): Omit<Capacity, 'cidr'> {
    return { policyL3: this.#policyL3, policyL4: this.#policyL4 };
  }

  /** Whose policy it held before. */
  get(identity: number): CompiledIdentity | undefined {
    return this.#identities.get(identity);
  }

  update(changes: ReadonlyMap<number, CompiledIdentity | undefined>): EntryDifference {
    const tables = new Map<PortTable, number>();
    const difference = { added: 0, removed: 0, changed: 0 };
    for (const [id, now] of changes) {
      const before = this.#identities.get(id);
      comparePeers(before, now, difference);
      if (now !== undefined) this.#each(now, 1, tables);
      if (before !== undefined) this.#each(before, -1, tables);
      if (now === undefined) this.#identities.delete(id);
      else this.#identities.set(id, now);
    }
    for (const [table, more] of tables) {
      const users = this.#tables.get(table) ?? 0;
      if (users === 0 && more > 0) difference.added += this.#count(table, 1);
      else if (users > 0 && users + more === 0) difference.removed += this.#count(table, -1);
      if (users + more === 0) this.#tables.delete(table);
      else this.#tables.set(table, users + more);
    }
    return difference;
  }

  #each({ ingress, egress }: CompiledIdentity, step: 1 | -1, tables: Map<PortTable, number>): void {
    for (const { peers } of [ingress, egress]) {
      this.#policyL3 += step * peers.size;
      for (const table of peers.values()) tables.set(table, (tables.get(table) ?? 0) + step);
    }
  }

  #count(table: PortTable, step: 1 | -1): number {
    const entries = tableEntries(table);
    this.#policyL4 += step * entries;
    return entries;
  }
}

/** Entries of both maps that come, go, or answer otherwise. */
export interface EntryDifference {
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
}

function comparePeers(
  before: CompiledIdentity | undefined,
  now: CompiledIdentity | undefined,
  difference: { added: number; removed: number; changed: number },
): void {
  for (const direction of ['ingress', 'egress'] as const) {
    const [old, next] = [before?.[direction].peers, now?.[direction].peers];
    for (const [peer, table] of next ?? []) {
      const was = old?.get(peer);
      if (was === undefined) difference.added++;
      else if (was !== table) difference.changed++;
    }
    for (const peer of old?.keys() ?? []) if (next?.has(peer) !== true) difference.removed++;
  }
}
