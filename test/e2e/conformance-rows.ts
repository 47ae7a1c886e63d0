/** Which rows of the conformance tables can happen on one machine, and a sample of them that has every tag. */
import { parsePolicy } from '../../src/core/policy.ts';
import type { CaseEndpoint, CaseProbe } from '../../src/core/policy-case.ts';
import { type Case, readTable } from '../core/conformance-case.ts';

export type { CaseEndpoint, CaseProbe };

type Row = Case & { readonly tags?: readonly string[] };

export function isExternal({ kind }: CaseEndpoint): boolean {
  return kind === 'external';
}

const REAL = ['endpoint', 'external', 'host'];

/** Of the hosts in the tables, together: what their host policies select by. */
export const HOST_LABELS = 'node-access=ssh,type=ingress-worker';

/** Both ends can be had here, one of them at least is judged, and this kernel has the protocol. */
export function isPossible(row: Case, probe: CaseProbe): boolean {
  const ends = [probe.from, probe.to].map((name) => row.endpoints.find((endpoint) => endpoint.name === name)!);
  const kinds = ends.map(({ kind = 'endpoint' }) => kind);
  if (probe.protocol === 'SCTP' || probe.from === probe.to) return false;
  // Pings to the host are answered by the kernel, from the root cgroup: host-answers.test.ts.
  if (probe.icmp && kinds.includes('host')) return false;
  return (
    kinds.every((kind) => REAL.includes(kind)) &&
    kinds.some((kind) => kind === 'endpoint' || kind === 'host') &&
    ends.every(({ cluster }) => cluster === undefined || cluster === 'default')
  );
}

export interface Sample {
  readonly rows: readonly { readonly row: Case; readonly probes: readonly CaseProbe[] }[];
  /** Tags that no possible row has. */
  readonly missing: readonly string[];
}

const MOST_PROBES = 20;

/** Greedily, the case first that adds most tags, of those the one with the fewest probes. */
export function sample(): Sample {
  const rows = ['cilium-l3l4', 'k8s-networkpolicy'].flatMap((table) =>
    readTable<Row>(table).map((row) => ({ table, row })),
  );
  const all = new Set(rows.flatMap(tagsOf));
  const left = rows
    .filter(({ row }) => row.enforcement === undefined && row.policies.every((document) => parsePolicy(document).ok))
    .map((found) => ({ ...found, probes: spread(found.row.probes.filter((probe) => isPossible(found.row, probe))) }))
    .filter(({ probes }) => probes.length > 0);
  const missing = new Set(all);
  const picked: { row: Case; probes: readonly CaseProbe[] }[] = [];
  for (;;) {
    const gain = (found: (typeof left)[number]) => tagsOf(found).filter((tag) => missing.has(tag)).length;
    const best = left.toSorted((a, b) => gain(b) - gain(a) || a.probes.length - b.probes.length)[0];
    if (best === undefined || gain(best) === 0) break;
    for (const tag of tagsOf(best)) missing.delete(tag);
    picked.push(best);
  }
  return { rows: picked, missing: [...missing].sort() };
}

function tagsOf({ table, row }: { readonly table: string; readonly row: Row }): string[] {
  return (row.tags ?? []).map((tag) => `${table} ${tag}`);
}

/** A stride that is prime to the length visits a spread-out part of them. */
function spread(probes: readonly CaseProbe[]): readonly CaseProbe[] {
  if (probes.length <= MOST_PROBES) return probes;
  return Array.from({ length: MOST_PROBES }, (_, i) => probes[(i * 7919) % probes.length]!);
}
