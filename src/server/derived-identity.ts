/**
 * Identities that hosts add to: of a workload with `labelsFrom`, one for each set of labels that some host has. They are
 * given out when a host first reports the labels, and kept until the registration names them no more.
 */
import { namedBy, splitDerived } from '../core/derived-identity.ts';
import { selectsHost } from '../core/host-selector.ts';
import { canonicalLabels } from '../core/label.ts';
import type { Draft } from './draft.ts';
import { allocateIdentity, setMembers } from './identity-allocation.ts';
import type { Log } from './log.ts';
import type { Operation } from './plan.ts';
import type { Reports, SeenReport } from './reports.ts';
import type { State, StoredWorkload } from './state.ts';
import type { Store } from './store.ts';

/** Actor of the revisions that give out what hosts report. */
const ACTOR = 'labelsFrom';
/** After a failure (all numbers are taken, the database is away). */
const RETRY_MS = 5000;

/** Gives out what is reported and has no identity yet, until the returned function is called. */
export function startDeriving(store: Store, reports: Reports, log: Log): () => void {
  let isBusy = false;
  let isStale = false;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;

  async function settle(): Promise<void> {
    isStale = true;
    if (isBusy) return;
    isBusy = true;
    try {
      while (isStale && !isClosed) {
        isStale = false;
        const operations = missing(store.state, reports.all.values());
        if (operations.length > 0) await store.write(operations, { actor: ACTOR });
      }
    } catch (error) {
      log('warn', `cannot give out identities of labelsFrom, trying again in ${RETRY_MS / 1000} s: ${String(error)}`);
      clearTimeout(timer);
      if (!isClosed) timer = setTimeout(() => void settle(), RETRY_MS).unref();
    }
    isBusy = false;
  }

  const stops = [
    reports.listen((now, before) => {
      if (now !== undefined && saidOf(now) !== (before && saidOf(before))) void settle();
    }),
    store.listen(({ changes }) => {
      const isOfWorkload = ({ collection }: { collection: string }) => collection.endsWith('orkloads');
      if (changes.length === 0 || changes.some(isOfWorkload)) void settle();
    }),
  ];
  void settle();
  return () => {
    isClosed = true;
    clearTimeout(timer);
    for (const stop of stops) stop();
  };
}

function saidOf({ report }: SeenReport): string {
  return JSON.stringify([report.labels, report.derived]);
}

/** Also of a workload that does not run there: its first process has the identity from the first packet. */
function missing(state: State, hosts: Iterable<SeenReport>): Operation[] {
  const deriving = [...state.workloads, ...state.hostWorkloads].filter(([, { spec }]) => spec.labelsFrom !== undefined);
  if (deriving.length === 0) return [];
  const seen = [...hosts];
  const known = new Map([...state.identities.values()].map((identity) => [identity.labels.join('\n'), identity]));
  const wanted = new Map<string, Operation>();
  for (const [key, stored] of deriving) {
    const base = state.identities.get(String(stored.identity))!;
    for (const host of seen) {
      const added = addedBy(stored, host);
      const labels = canonicalLabels([...base.labels, ...added]).join('\n');
      if (added.length === 0 || known.get(labels)?.workloads.includes(key)) continue;
      wanted.set(`${key}\n${labels}`, { type: 'deriveIdentity', workload: key, added });
    }
  }
  return [...wanted.values()];
}

function addedBy(stored: StoredWorkload, { name, report }: SeenReport): string[] {
  const { labelsFrom, hosts } = stored.spec;
  if (labelsFrom === undefined || !selectsHost(hosts, report.labels ?? {})) return [];
  if ('host' in stored && stored.host !== name) return [];
  return namedBy(labelsFrom, report.derived ?? []);
}

/** The workload may have gone, or may name other labels, since its hosts were asked. */
export function deriveIdentity(draft: Draft, key: string, added: readonly string[]): void {
  const stored = draft.get('workloads', key) ?? draft.get('hostWorkloads', key);
  const named = namedBy(stored?.spec.labelsFrom ?? [], added);
  if (stored === undefined || named.length === 0) return;
  const { labels } = draft.get('identities', String(stored.identity))!;
  setMembers(draft, allocateIdentity(draft, canonicalLabels([...labels, ...named])), key, true);
}

/** After the workload itself has moved: what hosts added to it before, they add to what it is now. */
export function moveDerived(
  draft: Draft,
  key: string,
  from: StoredWorkload | undefined,
  to: StoredWorkload | undefined,
): void {
  if (from?.spec.labelsFrom === undefined) return;
  for (const { id } of draft.base.identities.values()) {
    const identity = draft.get('identities', String(id))!;
    const { derived } = splitDerived(identity.labels);
    if (derived.length === 0 || !identity.workloads.includes(key)) continue;
    setMembers(draft, id, key, false);
    if (to !== undefined) deriveIdentity(draft, key, derived);
  }
}

/** At the start: who the workloads of a derived identity are, by its labels alone. */
export function membersOf(
  labels: readonly string[],
  byLabels: ReadonlyMap<string, readonly (readonly [string, StoredWorkload])[]>,
): readonly (readonly [string, StoredWorkload])[] {
  const { registered, derived } = splitDerived(labels);
  if (derived.length === 0) return [];
  return (byLabels.get(registered.join('\n')) ?? []).filter(
    ([, { spec }]) => namedBy(spec.labelsFrom ?? [], derived).length === derived.length,
  );
}
