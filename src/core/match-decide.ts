import { argsRegexMatches } from './args-regex.ts';
import { type Glob, globMatches } from './glob.ts';
import {
  anyListenMatches,
  argsMatch,
  type Clause,
  cgroupChain,
  gainedAt,
  isPlaced,
  type ListeningSocket,
  trimCgroup,
} from './match-clause.ts';
import type { DerivedFact } from './match-derived.ts';
import { indexOf, type MatchIndex } from './match-index.ts';
import { decidingField, type PrecedenceField } from './match-precedence.ts';
import type { MatchProgram, ProgramClause } from './match-program.ts';

/**
 * Which workload a process is, in plain TypeScript: the reference for what the kernel decides at cgroup_mkdir, exec and
 * bind, and the decision itself for late clauses.
 *
 * 1. Without an inherited label the largest rank wins of all clauses that the process meets: by exe, user, args; by its
 *    cgroup or one above; by a socket that it listens on.
 * 2. An inherited label gives way only to an exec match, and to a cgroup gained below the cgroup in which the inherited
 *    label was gained; of several, the largest rank. A label that came from a cgroup which is still above the process
 *    is not inherited: it is met.
 * 3. Ahead of 2: a claim that any local user could forge never replaces an inherited label that he could not, and one
 *    that he could not always replaces one that he could.
 */
export interface ProcessFacts {
  /** Resolved path of the executable; absent when unknown (a kernel thread, a file that is gone). */
  readonly exe?: string;
  /** As given to execve, argv[0] included. */
  readonly args: readonly string[];
  /** Resolved path of the `#!` file, or of the first path argument of an interpreter; absent = none, or unknown. */
  readonly script?: string;
  /** `NAME=value`, as given to execve; absent = not read, then no clause that needs it is met. */
  readonly env?: readonly string[];
  /** Effective, at the exec. */
  readonly uid: number;
  /** Below the cgroup2 root; `/` is the root. */
  readonly cgroup: string;
  /** The cgroup by whose label it is named, where that is not `cgroup`: one that it left by itself. Exec clauses ask `cgroup`. */
  readonly home?: string;
  readonly listening?: readonly ListeningSocket[];
  readonly inherited?: InheritedLabel;
  /**
   * Rank of the clause that the process met at its exec, where that was seen (`clauseNow`): it is met still, whatever
   * arguments and user look like by now. A daemon rewrites its arguments (setproctitle) and gives up root.
   */
  readonly metAtExec?: number;
  /** The cgroup whose label it does not have: it is a job of the main program there (gateways.ts). */
  readonly refuses?: string;
  /** Which set of `labelsFrom` it is known to be of, as one of a clause. */
  readonly derived?: DerivedFact;
}

export interface InheritedLabel {
  /** In the same program. A rank that it does not have (the registration is gone) counts as no label. */
  readonly rank: number;
  /** Where the process that handed it on was when it gained it. */
  readonly gainedIn: string;
  readonly origin: 'exec' | 'cgroup' | 'listen';
}

export type DecisionOrigin = 'exec' | 'cgroup' | 'inherited' | 'listen';

export interface Decision {
  /** Absent = no workload. */
  readonly clause?: ProgramClause;
  readonly origin: DecisionOrigin;
  /** The cgroup in which the label was gained, without leading slash. */
  readonly gainedIn: string;
  /** Other workloads whose clauses the process meets too, larger rank first; `created` = a tie, a conflict. */
  readonly beats: readonly Beaten[];
}

export interface Beaten {
  readonly workload: string;
  /** The first field of the order that differed; `inherited`: rule 2. */
  readonly by: PrecedenceField | 'inherited';
}

export function decideProcess(program: MatchProgram, facts: ProcessFacts): Decision {
  const index = indexOf(program);
  const here = trimCgroup(facts.cgroup);
  const chain = cgroupChain(facts.cgroup);
  const met = allMet(index, facts, here, chain);
  const inherited = inheritedMatch(index, facts, chain);
  const winner = inherited === undefined ? met[0] : (met.find((own) => replaces(own, inherited)) ?? inherited);
  if (winner === undefined) return { origin: 'cgroup', gainedIn: here, beats: [] };
  const others = inherited === undefined ? met : [inherited, ...met];
  return { clause: winner.clause, origin: winner.origin, gainedIn: winner.gainedIn, beats: beaten(winner, others) };
}

interface Met {
  readonly clause: ProgramClause;
  readonly origin: DecisionOrigin;
  readonly gainedIn: string;
}

/** Every clause that the process itself meets, larger rank first. */
function allMet(index: MatchIndex, facts: ProcessFacts, here: string, chain: readonly string[]): Met[] {
  const args = new Set(facts.args);
  const home = facts.home === undefined ? here : trimCgroup(facts.home);
  const met: Met[] = index
    .inCgroup(home, facts.home === undefined ? chain : cgroupChain(home))
    .filter(({ gainedIn }) => gainedIn !== facts.refuses)
    .map(({ program, gainedIn }) => ({ clause: program, origin: 'cgroup', gainedIn }));
  for (const { program, clause } of index.candidates(facts.exe, (facts.listening?.length ?? 0) > 0)) {
    if (program.rank === facts.metAtExec || isOtherSet(program, facts.derived)) continue;
    if (!holds(program, clause, facts, args, chain)) continue;
    met.push({ clause: program, origin: program.kind === 'exec' ? 'exec' : 'listen', gainedIn: here });
  }
  const before = metBefore(index, facts);
  if (before?.kind === 'exec') met.push({ clause: before, origin: 'exec', gainedIn: home });
  return met.sort((a, b) => b.clause.rank - a.clause.rank);
}

function metBefore(index: MatchIndex, { metAtExec, derived }: ProcessFacts): ProgramClause | undefined {
  const met = metAtExec === undefined ? undefined : index.byRank.get(metAtExec)?.program;
  if (met === undefined || derived === undefined || !isOf(met, derived)) return met;
  return index.ofSet(met, derived.labels)?.program;
}

function isOf({ workload, clause }: ProgramClause, derived: DerivedFact): boolean {
  return workload === derived.workload && clause === derived.clause;
}

function isOtherSet(program: ProgramClause, derived: DerivedFact | undefined): boolean {
  if (program.derived === undefined || derived === undefined) return false;
  return isOf(program, derived) && program.derived !== derived.labels;
}

function holds(
  program: ProgramClause,
  clause: Clause,
  facts: ProcessFacts,
  args: ReadonlySet<string>,
  chain: readonly string[],
): boolean {
  if (program.uid !== undefined && program.uid !== facts.uid) return false;
  if (!argsMatch(clause.args, args)) return false;
  if (!fileMatches(clause.exe, program.exes, facts.exe, program.grade)) return false;
  if (!fileMatches(clause.script, program.scripts, facts.script, program.grade)) return false;
  if (clause.env.length > 0 && !argsMatch(clause.env, new Set(facts.env))) return false;
  if (clause.argsRegex !== undefined && !argsRegexMatches(clause.argsRegex, facts.args)) return false;
  if (clause.listen.length > 0 && !anyListenMatches(clause.listen, facts.listening ?? [])) return false;
  return !isPlaced(clause) || gainedAt(clause, chain, program.sockets) !== undefined;
}

/** The file that the pattern names now (a symbolic link resolved), or one that has come since. */
function fileMatches(
  glob: Glob | undefined,
  resolved: readonly string[] | undefined,
  file: string | undefined,
  grade: ProgramClause['grade'],
): boolean {
  if (glob === undefined) return true;
  if (file === undefined) return false;
  return (resolved?.includes(file) ?? false) || (grade === 'late' && globMatches(glob, file));
}

function inheritedMatch(index: MatchIndex, facts: ProcessFacts, chain: readonly string[]): Met | undefined {
  const { inherited } = facts;
  const clause = inherited && index.byRank.get(inherited.rank)?.program;
  if (inherited === undefined || clause === undefined) return undefined;
  const gainedIn = trimCgroup(inherited.gainedIn);
  if (inherited.origin === 'cgroup' && chain.includes(gainedIn)) return undefined;
  return { clause, origin: 'inherited', gainedIn };
}

function replaces(own: Met, inherited: Met): boolean {
  const forgeable = own.clause.spoofable !== null;
  if (forgeable !== (inherited.clause.spoofable !== null)) return !forgeable;
  return own.origin === 'exec' || (own.origin === 'cgroup' && isBelow(own.gainedIn, inherited.gainedIn));
}

function isBelow(path: string, top: string): boolean {
  return top === '' ? path !== '' : path.startsWith(`${top}/`);
}

function beaten(winner: Met, others: readonly Met[]): Beaten[] {
  const beats = new Map<string, Beaten['by']>();
  for (const other of others) {
    const { workload } = other.clause;
    if (workload === winner.clause.workload || beats.has(workload)) continue;
    const field = decidingField(winner.clause.precedence, other.clause.precedence);
    const crossed = winner.origin === 'inherited' || other.origin === 'inherited';
    beats.set(workload, crossed && field !== 'spoofable' ? 'inherited' : field);
  }
  return [...beats].map(([workload, by]) => ({ workload, by }));
}
