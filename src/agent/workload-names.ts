import type { DesiredState } from './desired-state.ts';

/** Identity → the workloads that carry it; more than one when they have the same labels. */
export function workloadsByIdentity(state: DesiredState): ReadonlyMap<number, readonly string[]> {
  const found = new Map<number, string[]>();
  for (const [name, { identity }] of state.workloads) found.set(identity, [...(found.get(identity) ?? []), name]);
  return found;
}
