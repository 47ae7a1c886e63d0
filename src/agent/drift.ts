import type { Drift } from '../api/drift.ts';
import type { Endpoint } from '../api/endpoint.ts';
import { type Gateways, gatewayOf } from '../core/gateways.ts';
import type { MatchProgram } from '../core/match-program.ts';
import type { MatchClause } from '../core/workload.ts';
import { suggestMatch } from './discover-match.ts';
import type { LabelledProcess } from './endpoint.ts';
import type { Lineage } from './lineage.ts';
import type { OwnedSocket } from './listening.ts';
import type { Looks } from './looks.ts';
import { type Placed, placedOf } from './placed.ts';
import type { HostProcess } from './process-scan.ts';
import { findServices, type Service } from './service-groups.ts';
import { unitOf } from './unit-of.ts';

export interface DriftInput {
  readonly host: string;
  readonly program: MatchProgram;
  readonly workloads: ReadonlyMap<string, { readonly match: readonly MatchClause[] }>;
  readonly processes: readonly HostProcess[];
  readonly sockets: readonly OwnedSocket[];
  readonly labelled: readonly LabelledProcess[];
  readonly endpoints: readonly Endpoint[];
  readonly looks: Looks;
  readonly lineage: Lineage;
  readonly gateways: Gateways;
}

/**
 * Workloads that run outside of the unit or cgroup that they are registered with: by hand, from an init script over ssh,
 * by `su -` from a unit. Either another clause names them there, or nothing does and they are told by what the workload
 * looked like where it belongs, or by who started them. Learns the looks of what is in its place.
 */
export function findDrifts(input: DriftInput): Drift[] {
  const placed = placedOf(input.program);
  if (placed.size === 0) return [];
  learn(input, placed);
  return [...namedDrifts(input, placed), ...namelessDrifts(input, placed)].sort(
    (a, b) => a.process.pid - b.process.pid,
  );
}

/** The oldest process of each endpoint, and whoever listens. */
function learn({ labelled, endpoints, sockets, looks }: DriftInput, placed: ReadonlyMap<string, Placed>): void {
  const oldest = new Set(endpoints.map(({ processes }) => processes[0]?.pid));
  const listeners = new Set(sockets.flatMap(({ pids }) => pids));
  looks.forget((workload) => placed.has(workload));
  for (const { process, workload } of labelled) {
    const isMain = oldest.has(process.pid) || listeners.has(process.pid);
    if (isMain && placed.get(workload)?.holds(process.cgroup)) looks.learn(workload, process);
  }
}

function namedDrifts({ endpoints, workloads }: DriftInput, placed: ReadonlyMap<string, Placed>): Drift[] {
  return endpoints
    .filter(({ state }) => state === 'drifted')
    .map(({ workload, host, processes, cgroup = '/', why }) => ({
      ...{ workload, host, process: processes[0]!, cgroup, named: true },
      expected: [...(placed.get(workload)?.names ?? [])],
      clause: workloads.get(workload)?.match[why?.clause ?? 0] ?? {},
    }));
}

function namelessDrifts(input: DriftInput, placed: ReadonlyMap<string, Placed>): Drift[] {
  const { processes, labelled, looks, lineage, gateways, host, workloads } = input;
  const named = new Set(labelled.map(({ process: { pid } }) => pid));
  const found = new Map<number, string>();
  for (const process of processes) {
    if (named.has(process.pid) || gatewayOf(gateways, process) !== undefined) continue;
    const workload = lineage.of(process.pid) ?? looks.like(process);
    const place = workload === undefined ? undefined : placed.get(workload);
    if (place !== undefined && !place.holds(process.cgroup)) found.set(process.pid, workload!);
  }
  // What a drifted process started goes with it.
  const tops = processes.filter(({ pid, ppid }) => found.has(pid) && found.get(ppid) !== found.get(pid));
  const services = tops.length === 0 ? [] : findServices({ ...input, isClaimed: () => false });
  return tops.map((process) => {
    const workload = found.get(process.pid)!;
    const { pid, exe = '', user, startedAt } = process;
    const clause = coveringClause(process, services);
    return {
      ...{ workload, host, process: { pid, exe, user, startedAt }, cgroup: process.cgroup, named: false },
      expected: [...placed.get(workload)!.names],
      clause,
      command: commandOf(workload, [...(workloads.get(workload)?.match ?? []), clause]),
    };
  });
}

function coveringClause(process: HostProcess, services: readonly Service[]): MatchClause {
  const known = services.find(({ members }) => members.some(({ pid }) => pid === process.pid));
  const service = known ?? { main: process, members: [process], sockets: [], unit: unitOf(process.cgroup) };
  return suggestMatch(service, known === undefined ? [...services, service] : services).match;
}

/** Everything that the workload has stays: only the list of clauses is given. */
function commandOf(workload: string, match: readonly MatchClause[]): string {
  return `postern workload get ${workload} -o json | jq '.match = ${JSON.stringify(match).replaceAll("'", "'\\''")}' | postern workload put ${workload} -f -`;
}
