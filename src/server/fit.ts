/**
 * Whether a state fits into the kernel's maps, asked before it becomes a revision. Runs the compiler that every agent
 * runs; it is kept, so that one changed rule costs what one rule costs.
 */

import { type Capacity, capacityProblems } from '../core/capacity.ts';
import { type CompiledIdentity, PolicyCompiler } from '../core/compile.ts';
import type { IdentityId } from '../core/identity.ts';
import { EntryCount, type EntryDifference } from './entry-count.ts';
import { HOST, HostPolicies, type HostsCompiled } from './host-policy.ts';
import { ProblemError } from './problem-error.ts';
import type { SeenReport } from './reports.ts';
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
  /** Of hosts that host policies select, or did: what comes on top of that. */
  readonly hosts: ReadonlyMap<string, HostFit>;
}

export interface HostFit {
  readonly before: CompiledIdentity | undefined;
  readonly after: CompiledIdentity | undefined;
  readonly entries: EntryDifference;
  readonly needed: Omit<Capacity, 'cidr'>;
}

export class FitCheck {
  readonly #hosts: () => ReadonlyMap<string, SeenReport>;
  readonly #onHosts = new HostPolicies();
  #hostsHeld: HostsCompiled = new Map();

  readonly #compiler = new PolicyCompiler();
  readonly #count = new EntryCount();
  readonly #numbers = new PrefixNumbers();
  /** The state that the compiler holds. */
  #held: State | undefined;
  #prefixes = 0;

  /** @param hosts known now, with their labels */
  constructor(hosts: () => ReadonlyMap<string, SeenReport> = () => new Map()) {
    this.#hosts = hosts;
  }

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
    const onHosts = this.#onHosts.compile(world, this.#hosts());
    const hosts = fitOfHosts(this.#hostsHeld, onHosts);
    this.#hostsHeld = onHosts;
    const owned = [...state.workloads.values()].reduce((sum, { spec }) => sum + (spec.addresses?.length ?? 0), 0);
    const needed = { ...this.#count.entries, cidr: world.cidrs.length + owned };
    const prefixes = needed.cidr - this.#prefixes;
    this.#prefixes = needed.cidr;
    requireRoom(needed, hosts);
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
      hosts,
    };
  }
}

function fitOfHosts(before: HostsCompiled, after: HostsCompiled): Map<string, HostFit> {
  const same = new Map<CompiledIdentity | undefined, Map<CompiledIdentity | undefined, HostFit>>();
  const fits = new Map<string, HostFit>();
  for (const host of new Set([...before.keys(), ...after.keys()])) {
    const [was, is] = [before.get(host), after.get(host)];
    const row = same.get(was) ?? new Map<CompiledIdentity | undefined, HostFit>();
    same.set(was, row);
    let fit = row.get(is);
    if (fit === undefined) {
      const count = new EntryCount();
      count.update(new Map([[HOST, was]]));
      const entries = count.update(new Map([[HOST, is]]));
      fit = { before: was, after: is, entries, needed: count.entries };
      row.set(is, fit);
    }
    fits.set(host, fit);
  }
  return fits;
}

export function withHost(needed: Capacity, host: HostFit | undefined): Capacity {
  if (host === undefined) return needed;
  const { policyL3, policyL4 } = host.needed;
  return { ...needed, policyL3: needed.policyL3 + policyL3, policyL4: needed.policyL4 + policyL4 };
}

/** What every host holds, and on each host its own policy too. */
function requireRoom(needed: Capacity, hosts: ReadonlyMap<string, HostFit>): void {
  const ends: [string, Capacity][] = [...hosts].map(([host, fit]) => [` on ${host}`, withHost(needed, fit)]);
  for (const [where, all] of [['', needed] as const, ...ends]) {
    const errors = capacityProblems(all);
    if (errors.length > 0)
      throw new ProblemError('does-not-fit', `Cannot accept it${where}: ${errors[0]!.message}`, { errors });
  }
}
