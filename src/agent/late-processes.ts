import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { RESERVED } from '../core/identity.ts';
import type { ListeningSocket } from '../core/match-clause.ts';
import { type Decision, decideProcess } from '../core/match-decide.ts';
import type { ProgramClause } from '../core/match-program.ts';
import type { Kernel } from '../datapath/kernel.ts';
import { type ExecEvent, LabelOrigin, LaunchFlag, type Proc, ProcFlag } from '../datapath/postern.skel.ts';
import { type EntryContext, isSettled, toProcEntry } from './proc-entry.ts';
import { type HostProcess, isSameProgram, toFacts } from './process-scan.ts';
import { inheritedNow, isHomeless, type Remembering, remembered } from './remembered.ts';

/** Parents whose fate is kept. */
const SETTLED_KEPT = 1_000;
const NO_LABEL = { identity: 0, rank: 0, clause: 0, origin: LabelOrigin.ORIGIN_NONE, late: 0 };

export interface LateContext {
  readonly kernel: Kernel;
  readonly entries: EntryContext;
  remembering(): Remembering;
  /** Undefined = gone, or not below the agent's scope. */
  read(pid: number): HostProcess | undefined;
}

/** Decides one process in user space: who is pending, or listens now. */
export class LateProcesses {
  readonly #context: LateContext;
  /** What pending processes became, for the children that they made meanwhile: the parent may have ended. */
  readonly #settled = new Map<number, Proc>();

  constructor(context: LateContext) {
    this.#context = context;
  }

  /**
   * True if sockets of it have another name now. A child that was forked while its parent (`forkedFrom`) was pending
   * inherits what its parent has become. `uid`: its user at that event. `anew`: what the kernel holds of it is not its own.
   */
  settle(
    pid: number,
    {
      listening = [],
      forkedFrom,
      uid,
      anew = false,
    }: {
      listening?: readonly ListeningSocket[];
      forkedFrom?: number | undefined;
      uid?: number | undefined;
      anew?: boolean;
    } = {},
  ): boolean {
    const { kernel, entries } = this.#context;
    const process = this.#context.read(pid);
    const held = kernel.maps.proc.get(pid);
    if (process === undefined || (held !== undefined && isSettled(held))) return false;
    const isPending = held !== undefined && (held.flags & ProcFlag.PROC_PENDING) !== 0;
    const old = held && (held.identity === RESERVED.init || anew) ? { ...held, ...NO_LABEL } : held;
    const by = this.#context.remembering();
    const seen = remembered(process, old, by);
    const parent = forkedFrom === undefined || isLabelled(old) ? undefined : this.#settled.get(forkedFrom);
    const from = old?.origin === LabelOrigin.ORIGIN_INHERITED || isHomeless(old, seen) ? old : parent;
    const inherited = from && inheritedNow(pid, from, by);
    const facts = {
      ...toFacts(process),
      ...(uid === undefined ? {} : { uid }),
      ...seen,
      listening,
      ...(inherited === undefined ? {} : { inherited }),
    };
    const own = decideProcess(by.program, facts);
    // A child that did nothing but fork shows the program and arguments of its parent.
    const isFork = own.origin === 'exec' && parent !== undefined && isSameClaim(own.clause, by.clauseOf(pid, parent));
    const decision: Decision = isFork ? { ...own, origin: 'inherited' } : own;
    const gainedBy = decision.origin === 'inherited' ? (from?.gained_by ?? pid) : pid;
    const isSame = old !== undefined && isSameClaim(decision.clause, by.clauseOf(pid, old));
    if (!isPending && (isSame || (decision.clause?.identity ?? 0) === (old?.identity ?? 0))) return false;
    // what it starts refuses the label of its cgroup, whatever its own is
    const startsJobs = ((old?.launch ?? 0) & LaunchFlag.LAUNCH_JOBS) !== 0;
    const refuses = decision.clause === undefined && seen.refuses !== undefined ? { refuses: seen.refuses } : {};
    const entry = isSame
      ? { ...old, flags: old.flags & ~ProcFlag.PROC_PENDING }
      : toProcEntry(process, { ...decision, ...refuses, startsJobs }, gainedBy, old, entries);
    const wanted = entry && { ...entry, late: isSame ? entry.late : 1 };
    if (!this.#put(process, wanted)) return false;
    this.#remember(pid, wanted);
    if ((held?.identity ?? 0) === (wanted?.identity ?? 0) || !hasSockets(pid)) return false;
    kernel.iterateProcess('backfill', pid);
    return true;
  }

  /** A pending process that execs again while it is being decided: what the kernel found at the later exec counts. */
  restore({ tgid, identity }: ExecEvent): boolean {
    const held = this.#context.kernel.maps.proc.get(tgid);
    return (held?.identity ?? 0) !== identity && this.settle(tgid, { anew: true });
  }

  /** Processes that wait to be decided. */
  pending(): number[] {
    const { proc } = this.#context.kernel.maps;
    return [...proc.entriesBatch()].flatMap(([pid, { flags }]) => (flags & ProcFlag.PROC_PENDING ? [pid] : []));
  }

  /** The clauses have changed: what was remembered is numbered by the old ones. */
  forget(): void {
    this.#settled.clear();
  }

  /** Unless the process has become another program since it was read: then the kernel has decided, or asks again. */
  #put(process: HostProcess, wanted: Proc | undefined): boolean {
    const { proc } = this.#context.kernel.maps;
    const now = this.#context.read(process.pid);
    if (now === undefined || !isSameProgram(now, process)) return false;
    if (wanted === undefined) proc.delete(process.pid);
    else proc.set(process.pid, wanted);
    // It may have ended meanwhile, and nobody removes an entry that comes after the end.
    if (!existsSync(`/proc/${process.pid}`)) proc.delete(process.pid);
    return true;
  }

  #remember(pid: number, entry: Proc | undefined): void {
    this.#settled.delete(pid);
    if (!isLabelled(entry)) return;
    this.#settled.set(pid, entry);
    if (this.#settled.size > SETTLED_KEPT) this.#settled.delete(this.#settled.keys().next().value!);
  }
}

function isLabelled(entry: Proc | undefined): entry is Proc {
  return entry !== undefined && entry.identity !== 0 && entry.identity !== RESERVED.init;
}

function isSameClaim(a: ProgramClause | undefined, b: ProgramClause | undefined): boolean {
  return a !== undefined && b !== undefined && a.workload === b.workload && a.rank === b.rank;
}

/** Only a process that has sockets has any with an old name. */
function hasSockets(pid: number): boolean {
  try {
    const folder = `/proc/${pid}/fd`;
    return readdirSync(folder).some((fd) => readlinkSync(`${folder}/${fd}`).startsWith('socket:'));
  } catch {
    return true; // a descriptor was closed meanwhile, or the process ended
  }
}
