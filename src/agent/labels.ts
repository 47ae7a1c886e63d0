import { join, relative } from 'node:path';
import { DEFAULT_GATEWAYS, EXECUTORS, FAILSAFE_EXECUTABLES, type Gateways } from '../core/gateways.ts';
import type { Decision } from '../core/match-decide.ts';
import { type MatchProgram, needsEnv } from '../core/match-program.ts';
import { decideTree, type TreeDecision } from '../core/match-tree.ts';
import type { Kernel } from '../datapath/kernel.ts';
import { MatchApplier } from '../datapath/match-applier.ts';
import { LabelOrigin, type Proc, ProcFlag } from '../datapath/postern.skel.ts';
import { cgroupLabels } from './cgroup-labels.ts';
import type { CgroupTree } from './cgroup-tree.ts';
import type { LabelledProcess } from './endpoint.ts';
import { LateProcesses } from './late-processes.ts';
import type { HostLook } from './look-slowly.ts';
import { type EntryContext, isSettled, sameEntry, toProcEntry, unlabelled } from './proc-entry.ts';
import { type HostProcess, isSameProgram, readProcess, scanProcesses } from './process-scan.ts';
import { type ClauseOf, isWithin, type Remembering, toTreeProcess } from './remembered.ts';
import { type Pin, RunPins } from './run-pin.ts';
import type { Steps } from './steps.ts';
import type { UserNames } from './user-names.ts';

const CGROUP_PENDING = 4;
const EMPTY: MatchProgram = { clauses: [], late: [], waiting: [] };
const ORIGIN_NAMES: Readonly<Record<number, LabelledProcess['origin']>> = {
  [LabelOrigin.ORIGIN_EXEC]: 'exec',
  [LabelOrigin.ORIGIN_CGROUP]: 'cgroup',
  [LabelOrigin.ORIGIN_INHERITED]: 'inherited',
  [LabelOrigin.ORIGIN_RUN]: 'run',
  [LabelOrigin.ORIGIN_LISTEN]: 'listen',
  [LabelOrigin.ORIGIN_BACKFILL]: 'backfill',
};

/**
 * Makes the labels in the kernel what the registrations say: match tables for all that starts from now on, then every
 * cgroup and process that is there already, by the same rules in TypeScript (core/match-tree). Between these two the
 * kernel decides for itself; what it decided after the flip is what the scan would.
 */
export class Labels {
  readonly #kernel: Kernel;
  readonly #tree: CgroupTree;
  readonly #users: UserNames;
  readonly #applier: MatchApplier;
  readonly #clauseOf: ClauseOf = (_, { clause }) => this.#applier.clauseOf(clause);
  readonly #scope: string;
  readonly #gateways: Gateways;
  readonly #entries: EntryContext;
  /** `postern run` and `adopt`: ahead of every clause. */
  readonly pins: RunPins;
  /** Of which the kernel could not tell who they are. */
  readonly late: LateProcesses;
  /** Which set of `labelsFrom` a process is known to be of. */
  derivedOf: NonNullable<Remembering['derivedOf']> = () => undefined;
  /** Processes of which it was not known yet who they are, when `labelled` looked last. */
  provisional = 0;
  #program: MatchProgram = EMPTY;
  #needsEnv = false;

  /** @param scope cgroup below which processes are named, relative to the cgroup2 root; '' = all */
  constructor(
    kernel: Kernel,
    tree: CgroupTree,
    users: UserNames,
    scope: string,
    gateways: Gateways = DEFAULT_GATEWAYS,
  ) {
    this.#gateways = gateways;
    this.#kernel = kernel;
    this.#tree = tree;
    this.#users = users;
    this.#scope = scope;
    this.#applier = new MatchApplier(kernel.maps);
    this.#entries = {
      gateways,
      failsafe: new Set(FAILSAFE_EXECUTABLES),
      numberOf: (clause) => this.#applier.numberOf(clause),
      cgroupId: (path) => tree.id(path),
    };
    this.pins = new RunPins(kernel, tree);
    this.late = new LateProcesses({
      kernel,
      entries: this.#entries,
      remembering: () => this.#remembering(this.#clauseOf),
      read: (pid) => {
        const process = this.#read(pid);
        return process !== undefined && this.#inScope(process) ? process : undefined;
      },
    });
  }

  get program(): MatchProgram {
    return this.#program;
  }

  /** The match tables alone: before the tracing programs are attached. Throws RangeError when they do not fit. */
  install(program: MatchProgram): void {
    this.#applier.apply(program, {
      gateways: this.#gateways.values(),
      failsafe: FAILSAFE_EXECUTABLES,
      executors: EXECUTORS,
    });
    this.#program = program;
    this.late.forget();
    this.#needsEnv = needsEnv(program);
  }

  /** Tables, then everything that is there. */
  apply(program: MatchProgram): void {
    const held = new Map(this.#kernel.maps.proc.entriesBatch());
    const clauses = this.#applier.clauses;
    this.install(program);
    this.relabel((pid, entry) => {
      const before = clauses[entry.clause - 1];
      const then = held.get(pid);
      if (then !== undefined && sameEntry(then, entry)) return before;
      // Written since, before or after the flip.
      const now = this.#applier.clauseOf(entry.clause);
      return [now, before].find((one) => one?.identity === entry.identity && one.rank === entry.rank);
    });
  }

  /** Cgroups, processes and sockets by the installed program. */
  relabel(clauseOf: ClauseOf = this.#clauseOf): void {
    this.pins.refresh();
    this.#labelCgroups();
    // A child that was forked while the first round read is seen by the second; usually nothing is left to do.
    for (let round = 0; round < 3; round++) if (!this.#labelProcesses(clauseOf)) break;
    this.labelSockets();
  }

  /** Every socket that a process holds, also those older than the agent. Twice: the second round knows who listens. */
  labelSockets(): void {
    for (let round = 0; round < 2; round++) {
      const config = this.#kernel.maps.config.get(0)!;
      this.#kernel.maps.config.set(0, { ...config, round: (config.round + 1) & 0xff });
      this.#kernel.iterate('backfill');
    }
  }

  /** Postern itself is ahead of policy with every socket. */
  exemptSelf(pid: number): void {
    this.#kernel.maps.proc.set(pid, { ...unlabelled(), flags: ProcFlag.PROC_SELF });
  }

  /** A cgroup has come that a late clause may name. */
  settleCgroup(id: number): void {
    const held = this.#kernel.maps.cgroup_label.get(id);
    if (held !== undefined && (held.flags & CGROUP_PENDING) !== 0) this.#labelCgroups();
  }

  /** Processes that hold a label now. */
  *labelled(): Steps<LabelledProcess[]> {
    const found: LabelledProcess[] = [];
    const entries = [...this.#kernel.maps.proc.entriesBatch()];
    this.provisional = entries.filter(([, { flags }]) => (flags & ProcFlag.PROC_PENDING) !== 0).length;
    for (const [pid, entry] of entries) {
      if (entry.identity === 0) continue;
      yield;
      const pin = this.pins.of(entry);
      const pinned = pin && this.#read(pid);
      if (pin !== undefined && pinned !== undefined) found.push(toPinned(pinned, pin));
      if (pin !== undefined) continue;
      const clause = this.#applier.clauseOf(entry.clause);
      const process = clause && this.#read(pid);
      if (clause === undefined || process === undefined) continue;
      found.push({
        process,
        workload: clause.workload,
        identity: entry.identity,
        clause: clause.clause,
        claim: clause,
        origin: ORIGIN_NAMES[entry.origin] ?? 'backfill',
        grade: entry.late === 1 ? 'late' : clause.grade,
        isProvisional: (entry.flags & ProcFlag.PROC_PENDING) !== 0,
        isCut: (entry.flags & ProcFlag.PROC_ARGS_CUT) !== 0,
        gainedBy: entry.gained_by,
        gainedIn: { id: String(entry.cgroup), isCgroupLabel: entry.origin === LabelOrigin.ORIGIN_CGROUP },
      });
    }
    return found;
  }

  /** Of a number that the kernel reports; 0 = none. */
  workloadOfClause(number: number): string | undefined {
    return this.#applier.clauseOf(number)?.workload;
  }

  /** `namespace/name`, for flows. */
  workloadOf(pid: number): string | undefined {
    const entry = pid === 0 ? undefined : this.#kernel.maps.proc.get(pid);
    if (entry === undefined) return undefined;
    return this.pins.of(entry)?.workload ?? this.#applier.clauseOf(entry.clause)?.workload;
  }

  /** What each process would be by another program, decided as a registration would; nothing changes. */
  foresee(program: MatchProgram, { processes, sockets }: HostLook): ReadonlyMap<number, TreeDecision> {
    const by = { ...this.#remembering(this.#clauseOf), program };
    const entryOf = (pid: number) => this.#kernel.maps.proc.get(pid);
    const here = processes.filter((process) => {
      const entry = entryOf(process.pid);
      return this.#inScope(process) && (entry === undefined || !isSettled(entry));
    });
    const alive = new Map(processes.map((process) => [process.pid, process]));
    const tree = here.map((process) => ({
      ...toTreeProcess(process, entryOf(process.pid), (pid) => alive.has(pid), by),
      listening: sockets.filter(({ pids }) => pids.includes(process.pid)),
    }));
    const decided = decideTree(program, tree, this.#gateways);
    return new Map(here.map((process) => [process.pid, this.#asForked(process, alive, decided)]));
  }

  #labelCgroups(): void {
    const { cgroup_label } = this.#kernel.maps;
    const wanted = cgroupLabels(this.#program, this.#tree, this.#applier);
    for (const id of [...cgroup_label.keys()]) if (!wanted.has(id)) cgroup_label.delete(id);
    for (const [id, label] of wanted) cgroup_label.set(id, label);
  }

  /** Returns whether a label changed. */
  #labelProcesses(clauseOf: ClauseOf): boolean {
    const processes = scanProcesses(this.#users, '/proc', this.#needsEnv).filter((process) => this.#inScope(process));
    const alive = new Map(processes.map((process) => [process.pid, process]));
    const by = this.#remembering(clauseOf);
    const tree = processes.map((process) =>
      toTreeProcess(process, this.#kernel.maps.proc.get(process.pid), (pid) => alive.has(pid), by),
    );
    const decided = decideTree(this.#program, tree, this.#gateways);
    let changed = false;
    for (const process of processes) {
      const old = this.#kernel.maps.proc.get(process.pid);
      if (old !== undefined && isSettled(old)) continue;
      const decision = this.#asForked(process, alive, decided);
      if (this.#write(process, decision, decision.gainedBy, old)) changed = true;
    }
    for (const [pid, { identity, flags }] of [...this.#kernel.maps.proc.entriesBatch()])
      if (
        identity !== 0 &&
        !alive.has(pid) &&
        (flags & ProcFlag.PROC_SELF) === 0 &&
        readProcess(pid, this.#users) === undefined
      )
        this.#kernel.maps.proc.delete(pid);
    return changed;
  }

  /** A worker that only forked shows the program and arguments of its parent: it inherited, as fork decides in the kernel. */
  #asForked(
    process: HostProcess,
    alive: ReadonlyMap<number, HostProcess>,
    decided: ReadonlyMap<number, TreeDecision>,
  ): TreeDecision {
    const own = decided.get(process.pid)!;
    const parent = alive.get(process.ppid);
    const from = decided.get(process.ppid);
    if (own.origin !== 'exec' || parent === undefined || from?.clause !== own.clause || parent.exe !== process.exe)
      return own;
    return { ...own, origin: 'inherited', gainedBy: this.#asForked(parent, alive, decided).gainedBy };
  }

  /** Returns whether the kernel held something else. */
  #write(process: HostProcess, decision: Decision, gainedBy: number, old: Proc | undefined): boolean {
    const wanted = toProcEntry(process, decision, gainedBy, old, this.#entries);
    if (wanted === undefined ? old === undefined : old !== undefined && sameEntry(old, wanted)) return false;
    // Between the scan and now the process may have become another program: then the kernel has decided.
    const now = this.#read(process.pid);
    if (now === undefined || !isSameProgram(now, process)) return now !== undefined;
    const { proc } = this.#kernel.maps;
    if (wanted === undefined) proc.delete(process.pid);
    else proc.set(process.pid, wanted);
    return true;
  }

  #remembering(clauseOf: ClauseOf): Remembering {
    const tree = this.#tree;
    return {
      ...{ program: this.#program, clauseOf, derivedOf: this.derivedOf },
      ...{ cgroupPath: (id) => tree.path(id), cgroupId: (path) => tree.id(path) },
    };
  }

  #read(pid: number): HostProcess | undefined {
    return readProcess(pid, this.#users, '/proc', this.#needsEnv);
  }

  #inScope({ cgroup }: HostProcess): boolean {
    return isWithin(cgroup, this.#scope);
  }
}

/** The cgroup that bounds an agent, relative to the cgroup2 root; '' = the whole host. */
export function scopeOf(cgroupMount: string, cgroupRoot: string): string {
  return relative(cgroupMount, join(cgroupRoot, '.'));
}

function toPinned(process: HostProcess, { workload, kind, pid, cgroupId }: Pin): LabelledProcess {
  const gainedIn = { id: String(cgroupId), isCgroupLabel: kind === 'run' };
  return { process, workload, origin: 'run', grade: 'firstPacket', gainedBy: pid, gainedIn };
}
