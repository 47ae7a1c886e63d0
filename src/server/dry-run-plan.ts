/** The `plan` of a dry run: the effect of a write, with the endpoints and hosts that it meets. */
import type { Plan } from '../api/apply.ts';
import { type Capacity, DEFAULT_LIMITS } from '../core/capacity.ts';
import type { Reports, SeenReport } from './reports.ts';
import type { Written } from './store.ts';

/** Undefined when it was no dry run. */
export function planOf({ draft, effect }: Written, reports: Reports): Plan | undefined {
  if (effect === undefined) return undefined;
  const met = [...effect.workloads].flatMap((key) => reports.endpointsOf(key));
  const endpoints = met.map(({ id, workload, host }) => ({ id, workload, host }));
  return {
    changes: draft.results,
    identities: effect.identities,
    endpoints,
    verdicts: effect.verdicts.map((change) => {
      const live = reports.endpointsOf(change.workload);
      return { ...change, endpoints: live.length, hosts: [...new Set(live.map(({ host }) => host))].sort() };
    }),
    verdictsTotal: effect.verdictsTotal,
    entries: effect.entries,
    capacity: toCapacity(effect.needed, DEFAULT_LIMITS),
    hosts: [...reports.all.values()].map((seen) => ({
      host: seen.name,
      endpoints: endpoints.filter(({ host }) => host === seen.name).length,
      entries: effect.entries,
      capacity: toCapacity(effect.needed, limitsOf(seen)),
    })),
  };
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
