import type { DesiredState } from './desired-state.ts';

/** Identity → the workloads that carry it; more than one when they have the same labels. */
export function workloadsByIdentity(state: DesiredState): ReadonlyMap<number, readonly string[]> {
  const found = new Map<number, string[]>();
  for (const [name, { identity, sets = [] }] of state.workloads)
    for (const id of new Set([identity, ...sets.map((set) => set.identity)]))
      found.set(id, [...(found.get(id) ?? []), name]);
  return found;
}
