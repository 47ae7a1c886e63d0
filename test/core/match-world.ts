import {
  compileMatch,
  type MatchFacts,
  type MatchProgram,
  type RegisteredWorkload,
} from '../../src/core/match-program.ts';
import type { MatchClause } from '../../src/core/workload.ts';

/** Workloads from `{"ns/name": clause | clauses}`, registered in that order. */
export function registered(table: Record<string, MatchClause | MatchClause[]>): RegisteredWorkload[] {
  return Object.entries(table).map(([ref, match], i) => {
    const [namespace, name] = ref.split('/') as [string, string];
    return {
      namespace,
      name,
      labels: { app: name },
      match: Array.isArray(match) ? match : [match],
      identity: 65792 + i,
      createdRevision: i + 1,
    };
  });
}

export const UIDS: ReadonlyMap<string, number> = new Map(
  ['root', 'tomcat', 'oracle', 'www-data', 'deploy', 'app', 'mysql', 'redis', 'prdadm', 'postgres', 'kafka'].map(
    (name, i) => [name, i === 0 ? 0 : 999 + i],
  ),
);

export const FACTS: MatchFacts = {
  uids: UIDS,
  paths: new Map([['/usr/lib/jvm/*/bin/java', ['/usr/lib/jvm/java-17/bin/java', '/usr/lib/jvm/java-11/bin/java']]]),
};

export function program(table: Record<string, MatchClause | MatchClause[]>, facts: MatchFacts = FACTS): MatchProgram {
  return compileMatch(registered(table), facts);
}
