import type { WireIdentity } from '../api/agent-stream.ts';
import { namedBy } from '../core/derived-identity.ts';
import { canonicalLabels } from '../core/label.ts';
import type { DerivedSet, NamedSet } from '../core/match-derived.ts';
import type { DesiredState, WorkloadHere } from './desired-state.ts';

export interface DerivedSources {
  /** Labels of the host: `host:site=fra`, `cloud:tag/env=prod`. */
  readonly ofHost: () => readonly string[];
  /** Sets of values of a workload's processes, and a number that changes when they do. */
  readonly setsOf: (workload: WorkloadHere) => readonly DerivedSet[];
  readonly version: () => number;
}

/**
 * The desired state as it is for this host: a workload whose `labelsFrom` names labels that the host has, has the identity of
 * those labels too, and where its processes have some, one for each set of them. Until the control plane has given that one
 * out, its own.
 */
export class DerivedIdentities {
  readonly #sources: DerivedSources;
  #known: { readonly of: DesiredState; readonly derived: string; readonly state: DesiredState } | undefined;

  constructor(sources: DerivedSources) {
    this.#sources = sources;
  }

  /** The same workloads again as long as nothing that they depend on changed. */
  into(state: DesiredState): DesiredState {
    const derived = this.#sources.ofHost();
    const text = [this.#sources.version(), ...derived].join('\n');
    const known = this.#known;
    const isSame =
      known?.derived === text && known.of.workloads === state.workloads && known.of.identities === state.identities;
    const workloads = isSame ? known.state.workloads : this.#withIdentities(state, derived);
    const next = workloads === state.workloads ? state : { ...state, workloads };
    this.#known = { of: state, derived: text, state: next };
    return next;
  }

  #withIdentities({ workloads, identities }: DesiredState, derived: readonly string[]): DesiredState['workloads'] {
    const moved = new Map<string, WorkloadHere>();
    let byLabels: Map<string, WireIdentity> | undefined;
    for (const [key, workload] of workloads) {
      if (workload.labelsFrom === undefined) continue;
      const base = identities.get(workload.identity);
      if (base === undefined) continue;
      byLabels ??= new Map([...identities.values()].map((identity) => [identity.labels.join('\n'), identity]));
      const named = namedBy(workload.labelsFrom, derived);
      const find = (more: readonly string[]): number | undefined =>
        byLabels!.get(canonicalLabels([...base.labels, ...named, ...more]).join('\n'))?.id;
      const identity = find([]) ?? workload.identity;
      const sets = this.#sources.setsOf(workload).flatMap((set): NamedSet[] => {
        const id = find(set.labels);
        return id === undefined ? [] : [{ ...set, identity: id }];
      });
      if (identity !== workload.identity || sets.length > 0)
        moved.set(key, { ...workload, identity, ...(sets.length === 0 ? {} : { sets }) });
    }
    if (moved.size === 0) return workloads;
    const next = new Map([...workloads].map(([key, workload]) => [key, moved.get(key) ?? workload]));
    const before = this.#known?.state.workloads;
    return before !== undefined && isSame(before, next) ? before : next;
  }
}

/** A new identity of somebody else is no new match program. */
function isSame(a: DesiredState['workloads'], b: DesiredState['workloads']): boolean {
  return a.size === b.size && JSON.stringify([...a]) === JSON.stringify([...b]);
}
