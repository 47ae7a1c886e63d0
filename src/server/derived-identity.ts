/**
 * Identities that hosts add to: of a workload with `labelsFrom`, one for each set of labels that some host or some process of it
 * has. They are given out when a host first reports the labels, and go when no host's last report has them any more, nor
 * the registration names them. A host that is away is as it was last seen.
 */
import { namedBy, SETS_PER_WORKLOAD, splitDerived } from '../core/derived-identity.ts';
import { selectsHost } from '../core/host-selector.ts';
import { canonicalLabels } from '../core/label.ts';
import type { Draft } from './draft.ts';
import { allocateIdentity, setMembers } from './identity-allocation.ts';
import type { Log } from './log.ts';
import type { Operation } from './plan.ts';
import type { Reports, SeenReport } from './reports.ts';
import type { State, StoredIdentity, StoredWorkload } from './state.ts';
import type { Store } from './store.ts';

/** Actor of the revisions that give out what hosts report. */
const ACTOR = 'labelsFrom';
/** After a failure (all numbers are taken, the database is away). */
const RETRY_MS = 5000;
/** What nobody reports any more goes after this: a service is restarted, an agent is. */
const UNREPORTED_MS = 600_000;

/** Gives out what is reported and has no identity yet, and takes back the rest, until the returned function is called. */
export function startDeriving(store: Store, reports: Reports, log: Log, unreportedMs = UNREPORTED_MS): () => void {
  /** Since when (ms since 1970) a workload's identity is in no report, by both. */
  let unreported = new Map<string, { readonly operation: Operation; readonly since: number }>();
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
        const wanted = wantedSets(store.state, reports.all.values());
        const now = Date.now();
        unreported = new Map(
          leftOver(store.state, wanted).map((operation) => {
            const key = `${operation.workload} ${operation.id}`;
            return [key, { operation, since: unreported.get(key)?.since ?? now }];
          }),
        );
        const over = [...unreported.values()].filter(({ since }) => now - since >= unreportedMs);
        const operations = [...over.map(({ operation }) => operation), ...missing(store.state, wanted)];
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
  const again = setInterval(() => void settle(), Math.max(100, unreportedMs / 10)).unref();
  return () => {
    isClosed = true;
    clearInterval(again);
    clearTimeout(timer);
    for (const stop of stops) stop();
  };
}

function saidOf({ report }: SeenReport): string {
  return JSON.stringify([report.labels, report.derived, report.values]);
}

/** By workload: labels of an identity, as text → what of them hosts add. */
type Wanted = ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;

/**
 * Also of a workload that does not run there: its first process has the identity from the first packet. What is in force comes
 * first where there is no room for all.
 */
function wantedSets(state: State, hosts: Iterable<SeenReport>): Wanted {
  const deriving = [...state.workloads, ...state.hostWorkloads].filter(([, { spec }]) => spec.labelsFrom !== undefined);
  const seen = deriving.length === 0 ? [] : [...hosts];
  return new Map(
    deriving.map(([key, stored]) => {
      const base = state.identities.get(String(stored.identity))!;
      const all = new Map(
        seen
          .flatMap((host) => addedBy(stored, host))
          .map((added) => [canonicalLabels([...base.labels, ...added]).join('\n'), added] as const),
      );
      if (all.size <= SETS_PER_WORKLOAD) return [key, all];
      const held = new Set(membershipsOf(state, key).map(({ labels }) => labels.join('\n')));
      const first = [...all].sort(([a], [b]) => Number(held.has(b)) - Number(held.has(a)) || (a < b ? -1 : 1));
      return [key, new Map(first.slice(0, SETS_PER_WORKLOAD))];
    }),
  );
}

function missing(state: State, wanted: Wanted): Operation[] {
  return [...wanted].flatMap(([workload, sets]) => {
    const held = new Set(membershipsOf(state, workload).map(({ labels }) => labels.join('\n')));
    return [...sets].flatMap(([labels, added]): Operation[] =>
      held.has(labels) ? [] : [{ type: 'deriveIdentity', workload, added }],
    );
  });
}

function leftOver(state: State, wanted: Wanted): (Operation & { type: 'underiveIdentity' })[] {
  return [...wanted].flatMap(([workload, sets]) =>
    membershipsOf(state, workload).flatMap(({ id, labels }) =>
      sets.has(labels.join('\n')) ? [] : [{ type: 'underiveIdentity' as const, workload, id }],
    ),
  );
}

/** Identities that hosts gave a workload. */
function membershipsOf(state: State, key: string): readonly StoredIdentity[] {
  let known = memberships.get(state.identities);
  if (known === undefined) {
    const derived = [...state.identities.values()].filter(({ labels }) => splitDerived(labels).derived.length > 0);
    const pairs = derived.flatMap((identity) => identity.workloads.map((workload) => ({ workload, identity })));
    known = Map.groupBy(pairs, ({ workload }) => workload);
    memberships.set(state.identities, known);
  }
  return (known.get(key) ?? []).map(({ identity }) => identity);
}

const memberships = new WeakMap<State['identities'], ReadonlyMap<string, { readonly identity: StoredIdentity }[]>>();

/** What a host adds: for itself, and for each set that processes of the workload have there. */
function addedBy(stored: StoredWorkload, { name, report }: SeenReport): (readonly string[])[] {
  const { namespace, name: own, spec } = stored;
  const { labelsFrom, hosts } = spec;
  if (labelsFrom === undefined || !selectsHost(hosts, report.labels ?? {})) return [];
  if ('host' in stored && stored.host !== name) return [];
  const ofHost = namedBy(labelsFrom, report.derived ?? []);
  const { sets = [] } = report.values?.find(({ workload }) => workload === `${namespace}/${own}`) ?? {};
  return [[], ...sets.map((set) => namedBy(labelsFrom, set))]
    .map((set) => [...ofHost, ...set])
    .filter((added) => added.length > 0);
}

/** It may have come back since it was missed: then it is given out again. */
export function underiveIdentity(draft: Draft, key: string, id: number): void {
  if (draft.get('identities', String(id)) !== undefined) setMembers(draft, id, key, false);
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
