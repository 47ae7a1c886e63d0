/** What policy does to an identity: the mode of its workloads, which must be one, since they have one policy. */
import { MODES, type Mode } from '../core/workload-operation.ts';
import type { Draft } from './draft.ts';
import { ProblemError } from './problem-error.ts';
import type { StoredIdentity } from './state.ts';

/** The strictest; undefined = enforce. Until `checkModes` has passed there may be several. */
export function strictest(modes: readonly (Mode | undefined)[]): StoredIdentity['mode'] {
  const ranks = modes.map((mode) => MODES.indexOf(mode ?? 'enforce'));
  const mode = modes.length === 0 ? 'enforce' : MODES[Math.max(...ranks)]!;
  return mode === 'enforce' ? undefined : mode;
}

/** Refuses a write after which workloads of one identity would differ: the stricter would hold for both. */
export function checkModes(draft: Draft): void {
  for (const change of draft.changes) {
    if (change.type === 'DELETED' || (change.collection !== 'workloads' && change.collection !== 'hostWorkloads'))
      continue;
    const mode = change.object.spec.mode ?? 'enforce';
    const { workloads } = draft.get('identities', String(change.object.identity))!;
    const other = workloads.find((key) => modeOf(draft, key) !== mode);
    if (other === undefined) continue;
    const theirs = modeOf(draft, other);
    throw new ProblemError(
      'conflict',
      `Cannot put ${change.key} in mode ${mode}: ${other} has the same labels, and so the same identity, and is in ` +
        `${theirs}; give all of them one mode in one apply, or another label`,
      { errors: [{ path: '/mode', message: `is ${theirs} in ${other}`, value: mode, allowed: [theirs] }] },
    );
  }
}

export function modeOf(draft: Draft, key: string): Mode {
  const workload = draft.get('workloads', key) ?? draft.get('hostWorkloads', key);
  return workload?.spec.mode ?? 'enforce';
}
