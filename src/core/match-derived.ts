import type { MatchClause } from './workload.ts';

/**
 * Processes of one clause that have the same values of `labelsFrom`, and how the kernel tells them: the clause as it is
 * registered, and all that is set here. It is one clause more, of its own identity, that wins over the one that it is made
 * of and over nothing else: the rank among other workloads, and who may claim it, are the registration's.
 */
export interface DerivedSet {
  /** Place in the workload's `match`. */
  readonly clause: number;
  /** Canonical, as they stand in the identity: `systemd:unit=tomcat_a.service`. */
  readonly labels: readonly string[];
  /** Resolved path. */
  readonly exe?: string;
  /** At the exec. */
  readonly uid?: number;
  /** One must hold: each is a cgroup in which the registered clause holds. Without leading slash. */
  readonly cgroups?: readonly string[];
}

export type NamedSet = DerivedSet & { readonly identity: number };

/** What a process is known to have: it counts, whatever its user and program look like by now. */
export interface DerivedFact {
  /** `namespace/name` */
  readonly workload: string;
  readonly clause: number;
  readonly labels: string;
}

export function labelsText({ labels }: Pick<DerivedSet, 'labels'>): string {
  return labels.join(' ');
}

/** The clause with the conditions of a set; its cgroups are not a part of it. */
export function withSet(source: MatchClause, { exe, uid }: DerivedSet): MatchClause {
  if (exe === undefined && uid === undefined) return source;
  return {
    ...source,
    process: {
      ...source.process,
      ...(exe === undefined ? {} : { exe: literalGlob(exe) }),
      ...(uid === undefined ? {} : { user: String(uid) }),
    },
  };
}

/** More conditions win, then the deeper cgroup; a total order. Undefined: the clause as it is registered, which loses. */
export function compareSets(a: DerivedSet | undefined, b: DerivedSet | undefined): number {
  const [x, y] = [weightOf(a), weightOf(b)];
  for (const [i, value] of x.entries()) if (value !== y[i]) return value - y[i]!;
  const [s, t] = [JSON.stringify(a ?? ''), JSON.stringify(b ?? '')];
  return s < t ? -1 : s > t ? 1 : 0;
}

/** A pattern that means only this text. */
export function literalGlob(text: string): string {
  return text.replace(/[\\*?[]/g, '\\$&');
}

function weightOf(set: DerivedSet | undefined): number[] {
  if (set === undefined) return [0, 0, 0];
  const conditions = [set.exe, set.uid, set.cgroups].filter((one) => one !== undefined).length;
  return [1, conditions, Math.max(0, ...(set.cgroups ?? []).map((path) => path.split('/').length))];
}
