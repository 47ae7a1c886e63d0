/** The `plan` of a dry run: the effect of a write, with the endpoints and hosts that it meets. */
import type { Plan } from '../api/apply.ts';
import { type Capacity, DEFAULT_LIMITS } from '../core/capacity.ts';
import type { Effect } from './effect.ts';
import type { EntryDifference } from './entry-count.ts';
import { withHost } from './fit.ts';
import { hostNotes } from './host-notes.ts';
import type { Reports, SeenReport } from './reports.ts';
import type { Written } from './store.ts';
import { HOST_NAME } from './verdict-change.ts';

/** Undefined when it was no dry run. */
export function planOf({ draft, effect }: Written, reports: Reports): Plan | undefined {
  if (effect === undefined) return undefined;
  const met = [...effect.workloads].flatMap((key) => reports.endpointsOf(key));
  const endpoints = [
    ...met.map(({ id, workload, host }) => ({ id, workload, host })),
    ...[...effect.hosts].sort().map((host) => ({ id: `${host}/${HOST_NAME}`, workload: HOST_NAME, host })),
  ];
  return {
    changes: draft.results,
    identities: effect.identities,
    endpoints,
    verdicts: effect.verdicts.map((change) => {
      if (change.hosts !== undefined) return { ...change, endpoints: change.hosts.length, hosts: [...change.hosts] };
      const live = reports.endpointsOf(change.workload);
      return { ...change, endpoints: live.length, hosts: [...new Set(live.map(({ host }) => host))].sort() };
    }),
    verdictsTotal: effect.verdictsTotal,
    entries: effect.entries,
    capacity: toCapacity(fullest(effect), DEFAULT_LIMITS),
    hosts: [...reports.all.values()].map((seen) => ({
      host: seen.name,
      endpoints: endpoints.filter(({ host }) => host === seen.name).length,
      entries: together(effect.entries, effect.onHosts.get(seen.name)?.entries),
      capacity: toCapacity(withHost(effect.needed, effect.onHosts.get(seen.name)), limitsOf(seen)),
    })),
    notes: hostNotes(reports),
  };
}

/** With its own policy, of the host that needs most. */
function fullest({ needed, onHosts }: Effect): Capacity {
  const all = [...onHosts.values()].map((host) => withHost(needed, host));
  const most = (map: keyof Capacity) => Math.max(needed[map], ...all.map((one) => one[map]));
  return { policyL3: most('policyL3'), policyL4: most('policyL4'), cidr: most('cidr') };
}

function together(a: EntryDifference, b: EntryDifference | undefined): EntryDifference {
  if (b === undefined) return a;
  return { added: a.added + b.added, removed: a.removed + b.removed, changed: a.changed + b.changed };
}

function toCapacity(needed: Capacity, limits: Capacity): Plan['capacity'] {
  const of = (map: keyof Capacity) => ({ entries: needed[map], of: limits[map] });
  return { policyL3: of('policyL3'), policyL4: of('policyL4'), cidr: of('cidr') };
}

const NAMES = { policy_l3: 'policyL3', policy_l4: 'policyL4' } as const;

/** A host's own maps, of which a new revision may fill half; what it does not report has the default size. */
function limitsOf({ report }: SeenReport): Capacity {
  const own = report.maps.flatMap(({ name, maxEntries }) =>
    name in NAMES ? [[NAMES[name as keyof typeof NAMES], Math.floor(maxEntries / 2)]] : [],
  );
  return { ...DEFAULT_LIMITS, ...(Object.fromEntries(own) as Partial<Capacity>) };
}
