/** What a write would do to verdicts and maps, as values that outlive the compiler that found them. */
import type { VerdictChange } from '../api/apply.ts';
import type { Capacity } from '../core/capacity.ts';
import type { EntryDifference } from './entry-count.ts';
import type { Fitted, HostFit } from './fit.ts';
import type { State } from './state.ts';
import { hostVerdictChanges, verdictChanges } from './verdict-change.ts';

export interface Effect {
  readonly identities: number;
  readonly verdicts: readonly (Omit<VerdictChange, 'endpoints' | 'hosts'> & { readonly hosts?: readonly string[] })[];
  readonly verdictsTotal: number;
  /** Workloads with at least one change. */
  readonly workloads: ReadonlySet<string>;
  readonly entries: EntryDifference;
  readonly needed: Capacity;
  readonly onHosts: ReadonlyMap<string, HostFit>;
  /** Hosts whose own processes meet at least one change. */
  readonly hosts: ReadonlySet<string>;
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
  const hosts = new Set<string>();
  for (const change of hostVerdictChanges(comparison, fitted.hosts)) {
    verdictsTotal++;
    for (const host of change.hosts) hosts.add(host);
    if (verdicts.length < MOST) verdicts.push(change);
    if (verdictsTotal >= MOST_COUNTED) break;
  }
  const { changed, entries, needed, hosts: onHosts } = fitted;
  const isHost = [...onHosts.values()].some(
    ({ entries: { added, removed, changed: other } }) => added + removed + other > 0,
  );
  const identities = changed.length + Number(isHost);
  return { identities, verdicts, verdictsTotal, workloads, entries, needed, onHosts, hosts };
}
