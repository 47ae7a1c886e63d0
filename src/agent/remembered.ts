import { hidesScript } from '../core/interpreter.ts';
import { cgroupChain } from '../core/match-clause.ts';
import type { InheritedLabel } from '../core/match-decide.ts';
import type { DerivedFact } from '../core/match-derived.ts';
import { clauseNow, type MatchProgram, type ProgramClause } from '../core/match-program.ts';
import type { TreeProcess } from '../core/match-tree.ts';
import { LabelOrigin, LaunchFlag, type Proc, ProcFlag } from '../datapath/postern.skel.ts';
import { type HostProcess, toFacts } from './process-scan.ts';

/** What is needed to read an entry of `proc` by the program of now. */
export interface Remembering {
  readonly program: MatchProgram;
  readonly clauseOf: ClauseOf;
  readonly cgroupPath: (id: number) => string | undefined;
  readonly cgroupId: (path: string) => number | undefined;
  readonly derivedOf?: (process: HostProcess) => DerivedFact | undefined;
}

/** The clause that names a process, from the kernel's entry: its number is that of the program that was there then. */
export type ClauseOf = (pid: number, entry: Proc) => ProgramClause | undefined;

/** What is seen of a process, and what only the kernel remembers of it. */
export function toTreeProcess(
  process: HostProcess,
  old: Proc | undefined,
  isAlive: (pid: number) => boolean,
  by: Remembering,
): TreeProcess {
  const seen = remembered(process, old, by);
  // Whoever handed the label on is gone, or was an earlier program, or the cgroup that gave it is gone.
  const isKept =
    (old?.origin === LabelOrigin.ORIGIN_INHERITED && (old.gained_by === process.pid || !isAlive(old.gained_by))) ||
    isHomeless(old, seen);
  const inherited = isKept ? inheritedNow(process.pid, old!, by) : undefined;
  const isSeen = old !== undefined && old.identity !== 0 && GAINED.has(old.origin);
  return {
    ...toFacts(process),
    ...seen,
    ...(inherited === undefined ? {} : { kept: { ...inherited, gainedBy: old!.gained_by } }),
    ...(isSeen ? { isMain: (old.launch & LaunchFlag.LAUNCH_JOBS) !== 0 } : {}),
    isHiddenGateway: hidesScript(process) && ((old?.flags ?? 0) & ProcFlag.PROC_GATEWAY) !== 0,
  };
}

/** Facts that /proc no longer shows. */
export function remembered(
  process: HostProcess,
  old: Proc | undefined,
  by: Remembering,
): { metAtExec?: number; home?: string; refuses?: string; derived?: DerivedFact } {
  if (old === undefined) return {};
  const derived = by.derivedOf?.(process);
  return {
    ...metAtExec(process.pid, old, by),
    ...leftBehind(process, old, by),
    ...refused(process, old, by),
    ...(derived === undefined ? {} : { derived }),
  };
}

/** The same claim in the program of now, as a label that was handed on. */
export function inheritedNow(pid: number, old: Proc, by: Remembering): InheritedLabel | undefined {
  const now = ofNow(pid, old, by);
  return now && { rank: now.rank, gainedIn: by.cgroupPath(old.cgroup) ?? GONE, origin: 'exec' };
}

/** Its label came from a cgroup that is gone. */
export function isHomeless(old: Proc | undefined, seen: { readonly home?: string }): boolean {
  return old?.origin === LabelOrigin.ORIGIN_CGROUP && seen.home === GONE;
}

export function isWithin(cgroup: string, top: string): boolean {
  const path = cgroup.replace(/^\//, '');
  return top === '' || path === top || path.startsWith(`${top}/`);
}

/** Of a label that a process gained itself; its entry says whether it is the main program. */
const GAINED: ReadonlySet<number> = new Set([
  LabelOrigin.ORIGIN_CGROUP,
  LabelOrigin.ORIGIN_EXEC,
  LabelOrigin.ORIGIN_LISTEN,
]);

/** Stands for a cgroup that is gone: no path, so nothing is in it or below it. */
const GONE = '\0';

/** What the kernel saw at the exec: argv may have been rewritten and the user dropped since. */
function metAtExec(pid: number, old: Proc, by: Remembering): { metAtExec?: number } {
  const now = old.origin === LabelOrigin.ORIGIN_EXEC ? ofNow(pid, old, by) : undefined;
  return now === undefined ? {} : { metAtExec: now.rank };
}

/**
 * A labelled process that is no longer in the cgroup in which it gained its label went away by itself (where somebody
 * who may places it, the kernel decides anew): it counts as being there still. An inherited label needs no such place.
 */
function leftBehind(process: HostProcess, old: Proc, by: Remembering): { home?: string } {
  if (old.identity === 0 || old.origin === LabelOrigin.ORIGIN_INHERITED || ofNow(process.pid, old, by) === undefined)
    return {};
  return isBelow(process.cgroup, old.cgroup, by) ? {} : { home: by.cgroupPath(old.cgroup) ?? GONE };
}

/** By number where the path is not known (yet), or was cut. */
function isBelow(cgroup: string, id: number, by: Remembering): boolean {
  const path = by.cgroupPath(id);
  return (
    (path !== undefined && isWithin(cgroup, path)) ||
    ['', ...cgroupChain(cgroup)].some((one) => by.cgroupId(one) === id)
  );
}

/** Of a job: the cgroup whose label is not its own; by number where the path is not known (yet). */
function refused({ cgroup }: HostProcess, old: Proc, by: Remembering): { refuses?: string } {
  if ((old.launch & LaunchFlag.LAUNCH_NOBODY) === 0) return {};
  const refuses = by.cgroupPath(old.cgroup) ?? cgroupChain(cgroup).find((one) => by.cgroupId(one) === old.cgroup);
  return refuses === undefined ? {} : { refuses };
}

function ofNow(pid: number, old: Proc, by: Remembering): ProgramClause | undefined {
  const clause = by.clauseOf(pid, old);
  return clause && clauseNow(by.program, clause);
}
