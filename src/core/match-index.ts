import { type Clause, gainedAt, toClause } from './match-clause.ts';
import { allClauses, type MatchProgram, type ProgramClause } from './match-program.ts';

/** One clause of a program with its patterns read. */
export interface Reading {
  readonly program: ProgramClause;
  readonly clause: Clause;
}

/** A program arranged by what a process looks like, so that deciding one does not ask every clause. */
export interface MatchIndex {
  readonly byRank: ReadonlyMap<number, Reading>;
  /** The set of these labels that is made of the same clause, else that clause as it is registered. */
  ofSet(clause: ProgramClause, labels: string): Reading | undefined;
  /** Clauses that may match a process of this executable by exec or listen, in no order. */
  candidates(exe: string | undefined, isListening: boolean): Iterable<Reading>;
  /** Clauses that a cgroup gives to all that is in it, and where each was gained. */
  inCgroup(path: string, chain: readonly string[]): readonly (Reading & { readonly gainedIn: string })[];
}

/** Made once per program. */
export function indexOf(program: MatchProgram): MatchIndex {
  const known = indexes.get(program);
  if (known !== undefined) return known;
  const index = toIndex(program);
  indexes.set(program, index);
  return index;
}

const indexes = new WeakMap<MatchProgram, MatchIndex>();

/** Cgroups come and go: what is remembered of them is bounded. */
const CGROUPS_KEPT = 10_000;

function toIndex(program: MatchProgram): MatchIndex {
  const readings = allClauses(program).map((clause) => ({
    program: clause,
    clause: toClause(clause.source, clause.places),
  }));
  const byExe = new Map<string, Reading[]>();
  const anyExe: Reading[] = [];
  const byListen: Reading[] = [];
  const byCgroup: Reading[] = [];
  for (const reading of readings) {
    const { kind, grade, exes, listen } = reading.program;
    if (listen !== undefined) byListen.push(reading);
    else if (kind !== 'exec') byCgroup.push(reading);
    // A late one is a pattern, for files that have come since, too.
    else if (exes === undefined || grade === 'late') anyExe.push(reading);
    else for (const exe of exes) push(byExe, exe, reading);
  }
  const bySet = new Map(readings.map((reading) => [setKey(reading.program, reading.program.derived), reading]));
  const cgroups = new Map<string, readonly (Reading & { gainedIn: string })[]>();
  return {
    byRank: new Map(readings.map((reading) => [reading.program.rank, reading])),
    ofSet: (clause, labels) => bySet.get(setKey(clause, labels)) ?? bySet.get(setKey(clause, undefined)),
    *candidates(exe, isListening) {
      yield* anyExe;
      if (exe !== undefined) yield* byExe.get(exe) ?? [];
      if (isListening) yield* byListen;
    },
    inCgroup: (path, chain) => {
      const known = cgroups.get(path);
      if (known !== undefined) return known;
      const met = byCgroup.flatMap((reading) => {
        const gainedIn = gainedAt(reading.clause, chain, reading.program.sockets);
        return gainedIn === undefined ? [] : [{ ...reading, gainedIn }];
      });
      if (cgroups.size >= CGROUPS_KEPT) cgroups.clear();
      cgroups.set(path, met);
      return met;
    },
  };
}

function setKey({ workload, clause }: ProgramClause, labels = ''): string {
  return `${workload} ${clause} ${labels}`;
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
