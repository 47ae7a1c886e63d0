/** What a write would do to verdicts and maps, as values that outlive the compiler that found them. */
import type { VerdictChange } from '../api/apply.ts';
import type { Capacity } from '../core/capacity.ts';
import type { EntryDifference } from './entry-count.ts';
import type { Fitted } from './fit.ts';
import type { State } from './state.ts';
import { verdictChanges } from './verdict-change.ts';

export interface Effect {
  readonly identities: number;
  readonly verdicts: readonly Omit<VerdictChange, 'endpoints' | 'hosts'>[];
  readonly verdictsTotal: number;
  /** Workloads with at least one change. */
  readonly workloads: ReadonlySet<string>;
  readonly entries: EntryDifference;
  readonly needed: Capacity;
}

/** Most changes that are listed one by one. */
const MOST = 500;
/** Beyond, each workload counts once: then the total is what there is at least. */
const MOST_COUNTED = 20_000;

export function toEffect(before: State, after: State, fitted: Fitted): Effect {
  const verdicts: Effect['verdicts'][number][] = [];
  const workloads = new Set<string>();
  let verdictsTotal = 0;
  const comparison = {
    before: { state: before, compiled: fitted.before },
    after: { state: after, compiled: fitted.after },
    changed: fitted.changed,
    prefixOf: fitted.prefixOf,
  };
  for (const change of verdictChanges(comparison, () => verdictsTotal >= MOST_COUNTED)) {
    verdictsTotal++;
    workloads.add(change.workload);
    if (verdicts.length < MOST) verdicts.push(change);
  }
  const { changed, entries, needed } = fitted;
  return { identities: changed.length, verdicts, verdictsTotal, workloads, entries, needed };
}
