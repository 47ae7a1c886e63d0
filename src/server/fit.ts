/**
 * Whether a state fits into the kernel's maps, asked before it becomes a revision. Runs the compiler that every agent
 * runs; it is kept, so that one changed rule costs what one rule costs.
 */

import { type Capacity, capacityProblems } from '../core/capacity.ts';
import { type CompiledIdentity, PolicyCompiler } from '../core/compile.ts';
import type { IdentityId } from '../core/identity.ts';
import { EntryCount, type EntryDifference } from './entry-count.ts';
import { ProblemError } from './problem-error.ts';
import type { State } from './state.ts';
import { PrefixNumbers, toWorld } from './world.ts';

/** What a state compiles to, beside what was held before. */
export interface Fitted {
  readonly changed: readonly number[];
  /** Policy of an identity before and after; undefined = nothing is enforced. */
  before(identity: number): CompiledIdentity | undefined;
  after(identity: number): CompiledIdentity | undefined;
  prefixOf(identity: number): string | undefined;
  readonly entries: EntryDifference;
  readonly needed: Capacity;
}

export class FitCheck {
  readonly #compiler = new PolicyCompiler();
  readonly #count = new EntryCount();
  readonly #numbers = new PrefixNumbers();
  /** The state that the compiler holds. */
  #held: State | undefined;
  #prefixes = 0;

  /** Compiles `next`; throws a ProblemError when it does not fit. What is returned holds until the next call. */
  check(next: State): Fitted {
    return this.#update(next);
  }

  /** Brings the compiler to `state`, which is known to fit: after a check that came to nothing, or another's write. */
  accept(state: State): void {
    if (this.#held === state) return;
    try {
      this.#update(state);
    } catch (error) {
      // Accepted by a version with other limits: it is in force already, agents report what they cannot hold.
      if (!(error instanceof ProblemError)) throw error;
    }
  }

  #update(state: State): Fitted {
    this.#held = undefined;
    const world = toWorld(state, this.#numbers);
    const changes = this.#compiler.update(world);
    const before = new Map([...changes.keys()].map((id) => [id as number, this.#count.get(id)]));
    const { added, removed, changed } = this.#count.update(changes);
    this.#held = state;
    const owned = [...state.workloads.values()].reduce((sum, { spec }) => sum + (spec.addresses?.length ?? 0), 0);
    const needed = { ...this.#count.entries, cidr: world.cidrs.length + owned };
    const prefixes = needed.cidr - this.#prefixes;
    this.#prefixes = needed.cidr;
    const errors = capacityProblems(needed);
    if (errors.length > 0)
      throw new ProblemError('does-not-fit', `Cannot accept it: ${errors[0]!.message}`, { errors });
    const prefixesById = () => new Map(world.cidrs.map(({ id, prefix }) => [id as number, prefix]));
    let byId: ReturnType<typeof prefixesById> | undefined;
    const after = (id: number) => this.#compiler.all().get(id as IdentityId);
    return {
      changed: [...before.keys()],
      before: (id) => (before.has(id) ? before.get(id) : after(id)),
      after,
      prefixOf(id) {
        byId ??= prefixesById();
        return byId.get(id);
      },
      entries: { added: added + Math.max(0, prefixes), removed: removed + Math.max(0, -prefixes), changed },
      needed,
    };
  }
}
