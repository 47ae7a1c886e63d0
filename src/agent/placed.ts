import { type Clause, cgroupChain, gainedAt, isPlaced, toClause } from '../core/match-clause.ts';
import { allClauses, type MatchProgram, type ProgramClause } from '../core/match-program.ts';
import type { MatchClause } from '../core/workload.ts';

/** Where a workload is registered to run: the units, cgroups, containers of its clauses. */
export interface Placed {
  /** As registered: `legacy1.service`. */
  readonly names: readonly string[];
  holds(cgroup: string): boolean;
}

/** By workload; of those that say nowhere where they run, none. */
export function placedOf(program: MatchProgram): ReadonlyMap<string, Placed> {
  const known = programs.get(program);
  if (known !== undefined) return known;
  const clauses = Map.groupBy(
    allClauses(program).flatMap((own) => {
      const clause = toClause(own.source, own.places);
      return isPlaced(clause) ? [{ own, clause }] : [];
    }),
    ({ own }) => own.workload,
  );
  const placed = new Map([...clauses].map(([workload, list]) => [workload, toPlaced(list)]));
  programs.set(program, placed);
  return placed;
}

const CGROUPS_KEPT = 1_000;

const programs = new WeakMap<MatchProgram, ReadonlyMap<string, Placed>>();

function toPlaced(list: readonly { own: ProgramClause; clause: Clause }[]): Placed {
  const known = new Map<string, boolean>();
  return {
    names: [...new Set(list.map(({ own }) => nameOf(own.source)))].sort(),
    holds: (cgroup) => {
      const before = known.get(cgroup);
      if (before !== undefined) return before;
      const chain = cgroupChain(cgroup);
      const holds = list.some(({ own, clause }) => gainedAt(clause, chain, own.sockets) !== undefined);
      if (known.size >= CGROUPS_KEPT) known.clear();
      known.set(cgroup, holds);
      return holds;
    },
  };
}

function nameOf({ systemdUnit, systemdUserUnit, cgroup, container }: MatchClause): string {
  return systemdUnit ?? systemdUserUnit ?? cgroup ?? `container ${container?.name ?? container?.image ?? ''}`.trimEnd();
}
