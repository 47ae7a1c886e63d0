import { kernelCgroups, lateField, placeAffix, toClause } from './match-clause.ts';
import { userUnitCgroup } from './match-place.ts';
import { spoofableBy } from './match-precedence.ts';
import type { MatchClause } from './workload.ts';

/** What the answer to a registration says about it, before any host has seen it. */
export interface MatchClaim {
  /** `late` = some clause is decided in user space, after the first packet. */
  readonly grade: 'firstPacket' | 'late';
  /** The weakest clause's; null = nobody but root and the named user. */
  readonly spoofable: string | null;
}

export function claimOf(match: readonly MatchClause[]): MatchClaim {
  const clauses = match.map((clause) => toClause(clause));
  const reasons = clauses.map((clause) => spoofableBy(clause)).filter((reason) => reason !== null);
  const isLate = clauses.some((clause, i) => {
    const cgroups = kernelCgroups(clause);
    return (
      cgroups === undefined ||
      clause.container !== undefined ||
      (clause.userUnit !== undefined && placeAffix(userUnitCgroup(0, clause.userUnit)) === undefined) ||
      lateField(clause) !== undefined ||
      (clause.listen.length > 0 &&
        (cgroups.length > 0 || clause.userUnit !== undefined || match[i]!.process !== undefined))
    );
  });
  return { grade: isLate ? 'late' : 'firstPacket', spoofable: reasons[0] ?? null };
}
