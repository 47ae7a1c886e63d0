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

  update(changes: ReadonlyMap<number, CompiledIdentity | undefined>): void {
    for (const [id, now] of changes) {
      const before = this.#identities.get(id);
      if (now !== undefined) this.#add(now);
      if (before !== undefined) this.#remove(before);
      if (now === undefined) this.#identities.delete(id);
      else this.#identities.set(id, now);
    }
  }

  #add({ ingress, egress }: CompiledIdentity): void {
    for (const { peers } of [ingress, egress]) {
      this.#policyL3 += peers.size;
      for (const table of peers.values()) {
        const users = this.#tables.get(table) ?? 0;
        if (users === 0) this.#policyL4 += tableEntries(table);
        this.#tables.set(table, users + 1);
      }
    }
  }

  #remove({ ingress, egress }: CompiledIdentity): void {
    for (const { peers } of [ingress, egress]) {
      this.#policyL3 -= peers.size;
      for (const table of peers.values()) {
        const users = this.#tables.get(table)!;
        if (users > 1) this.#tables.set(table, users - 1);
        else {
          this.#tables.delete(table);
          this.#policyL4 -= tableEntries(table);
        }
      }
    }
  }
}
