import type { WireIdentity, WireWorkload } from '../api/agent-stream.ts';
import { namedBy } from '../core/derived-identity.ts';
import { canonicalLabels } from '../core/label.ts';
import type { DesiredState } from './desired-state.ts';

/**
 * The desired state as it is for this host: a workload whose `labelsFrom` names labels that the host has, has the identity of
 * those labels too. Until the control plane has given that one out, its own.
 */
export class DerivedIdentities {
  readonly #derived: () => readonly string[];
  #known: { readonly of: DesiredState; readonly derived: string; readonly state: DesiredState } | undefined;

  /** @param derived labels of the host: `host:site=fra`, `cloud:tag/env=prod` */
  constructor(derived: () => readonly string[]) {
    this.#derived = derived;
  }

  /** The same workloads again as long as nothing that they depend on changed. */
  into(state: DesiredState): DesiredState {
    const derived = this.#derived();
    const text = derived.join('\n');
    const known = this.#known;
    const isSame =
      known?.derived === text && known.of.workloads === state.workloads && known.of.identities === state.identities;
    const workloads = isSame ? known.state.workloads : withIdentities(state, derived, known?.state.workloads);
    const next = workloads === state.workloads ? state : { ...state, workloads };
    this.#known = { of: state, derived: text, state: next };
    return next;
  }
}

function withIdentities(
  { workloads, identities }: DesiredState,
  derived: readonly string[],
  before: DesiredState['workloads'] | undefined,
): DesiredState['workloads'] {
  const moved = new Map<string, WireWorkload>();
  let byLabels: Map<string, WireIdentity> | undefined;
  for (const [key, workload] of workloads) {
    const added = namedBy(workload.labelsFrom ?? [], derived);
    const base = added.length === 0 ? undefined : identities.get(workload.identity);
    if (base === undefined) continue;
    byLabels ??= new Map([...identities.values()].map((identity) => [identity.labels.join('\n'), identity]));
    const found = byLabels.get(canonicalLabels([...base.labels, ...added]).join('\n'));
    if (found !== undefined) moved.set(key, { ...workload, identity: found.id });
  }
  if (moved.size === 0) return workloads;
  const next = new Map([...workloads].map(([key, workload]) => [key, moved.get(key) ?? workload]));
  return before !== undefined && isSame(before, next) ? before : next;
}

/** A new identity of somebody else is no new match program. */
function isSame(a: DesiredState['workloads'], b: DesiredState['workloads']): boolean {
  return a.size === b.size && JSON.stringify([...a]) === JSON.stringify([...b]);
}
