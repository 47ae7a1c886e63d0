/**
 * Whether a state fits into the kernel's maps, asked before it becomes a revision. Runs the compiler that every agent
 * runs; it is kept, so that one changed rule costs what one rule costs.
 */

import { capacityProblems } from '../core/capacity.ts';
import { PolicyCompiler } from '../core/compile.ts';
import { EntryCount } from './entry-count.ts';
import { ProblemError } from './problem-error.ts';
import type { State } from './state.ts';
import { PrefixNumbers, toWorld } from './world.ts';

export class FitCheck {
  readonly #compiler = new PolicyCompiler();
  readonly #count = new EntryCount();
  readonly #numbers = new PrefixNumbers();
  /** The state that the compiler holds. */
  #held: State | undefined;

  /** Compiles `next`; throws a ProblemError when it does not fit. Returns how many identities it changes. */
  check(next: State): number {
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

  #update(state: State): number {
    this.#held = undefined;
    const world = toWorld(state, this.#numbers);
    const changes = this.#compiler.update(world);
    const changed = changes.size;
    this.#count.update(changes);
    this.#held = state;
    const owned = [...state.workloads.values()].reduce((sum, { spec }) => sum + (spec.addresses?.length ?? 0), 0);
    const errors = capacityProblems({ ...this.#count.entries, cidr: world.cidrs.length + owned });
    if (errors.length > 0)
      throw new ProblemError('does-not-fit', `Cannot accept it: ${errors[0]!.message}`, { errors });
    return changed;
  }
}
