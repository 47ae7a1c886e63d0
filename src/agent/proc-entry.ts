import { type Gateways, gatewayOf } from '../core/gateways.ts';
import { hidesScript } from '../core/interpreter.ts';
import type { Decision } from '../core/match-decide.ts';
import type { ProgramClause } from '../core/match-program.ts';
import type { TreeDecision } from '../core/match-tree.ts';
import { LabelOrigin, LaunchFlag, type Proc, ProcFlag } from '../datapath/postern.skel.ts';
import type { HostProcess } from './process-scan.ts';

const ORIGINS = {
  exec: LabelOrigin.ORIGIN_EXEC,
  cgroup: LabelOrigin.ORIGIN_CGROUP,
  inherited: LabelOrigin.ORIGIN_INHERITED,
  listen: LabelOrigin.ORIGIN_LISTEN,
} as const;

/** Numbers that an entry of `proc` holds instead of names, and the lists that make its flags. */
export interface EntryContext {
  readonly gateways: Gateways;
  readonly failsafe: ReadonlySet<string>;
  numberOf(clause: ProgramClause): number;
  cgroupId(path: string): number | undefined;
}

/** A decision as the kernel keeps it; undefined = no entry: nobody, and ordinary. `old` is what the kernel has now. */
export function toProcEntry(
  process: HostProcess,
  { clause, gainedIn, origin, startsJobs, refuses }: Decision & Partial<TreeDecision>,
  gainedBy: number,
  old: Proc | undefined,
  context: EntryContext,
): Proc | undefined {
  const { exe, uid } = process;
  // a workload gains no power by what it runs: the kernel saw whether it had it
  const powers = clause === undefined || old === undefined ? ~0 : old.flags;
  const flags =
    ((old?.flags ?? 0) & ProcFlag.PROC_ARGS_CUT) |
    (isGateway(process, old, context.gateways) ? powers & ProcFlag.PROC_GATEWAY : 0) |
    (exe !== undefined && uid === 0 && context.failsafe.has(exe) ? powers & ProcFlag.PROC_FAILSAFE : 0);
  if (clause === undefined && refuses !== undefined)
    return {
      ...unlabelled(),
      flags: flags | ProcFlag.PROC_PINNED,
      cgroup: context.cgroupId(refuses) ?? 0,
      launch: LaunchFlag.LAUNCH_NOBODY,
    };
  if (clause === undefined) return flags === 0 ? undefined : { ...unlabelled(), flags };
  const isFresh = origin === 'cgroup' && ((old?.launch ?? 0) & LaunchFlag.LAUNCH_FRESH) !== 0;
  const number = context.numberOf(clause);
  return {
    identity: clause.identity,
    rank: clause.rank,
    clause: number,
    gained_by: gainedBy,
    cgroup: context.cgroupId(gainedIn) ?? 0,
    origin: ORIGINS[origin],
    flags:
      flags |
      (clause.spoofable === null ? 0 : ProcFlag.PROC_SPOOFABLE) |
      (clause.inherit === 'none' ? ProcFlag.PROC_NO_INHERIT : 0),
    level: depthOf(gainedIn),
    launch: (startsJobs ? LaunchFlag.LAUNCH_JOBS : 0) | (isFresh ? LaunchFlag.LAUNCH_FRESH : 0),
    late: old?.clause === number ? old.late : 0,
    pad: new Uint8Array(3),
  };
}

/** Postern itself, and what `postern run` started. */
export function isSettled({ flags, launch }: Proc): boolean {
  const isPinned = (flags & ProcFlag.PROC_PINNED) !== 0 && (launch & LaunchFlag.LAUNCH_NOBODY) === 0;
  return isPinned || (flags & ProcFlag.PROC_SELF) !== 0;
}

export function sameEntry(a: Proc, b: Proc): boolean {
  const fields = ['identity', 'rank', 'clause', 'gained_by', 'cgroup', 'origin', 'flags', 'level', 'launch'] as const;
  return fields.every((field) => a[field] === b[field]);
}

export function unlabelled(): Proc {
  return {
    identity: 0,
    rank: 0,
    clause: 0,
    gained_by: 0,
    cgroup: 0,
    origin: 0,
    flags: 0,
    level: 0,
    launch: 0,
    late: 0,
    pad: new Uint8Array(3),
  };
}

/** Components of a cgroup path. */
export function depthOf(path: string): number {
  return path.split('/').filter(Boolean).length;
}

/** Whose script is hidden is known as what the kernel saw at its exec. */
function isGateway(process: HostProcess, old: Proc | undefined, gateways: Gateways): boolean {
  if (gatewayOf(gateways, process) !== undefined) return true;
  return hidesScript(process) && ((old?.flags ?? 0) & ProcFlag.PROC_GATEWAY) !== 0;
}
