import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Kernel } from '../datapath/kernel.ts';
import { LabelOrigin, type Proc, ProcFlag, procCodec } from '../datapath/postern.skel.ts';
import type { CgroupTree } from './cgroup-tree.ts';
import { parseStat } from './process-scan.ts';
import { readJson, writeFileAtomic } from './state-file.ts';

/** One `postern run` or `postern workload adopt` that is still alive. */
export interface Pin {
  /** Stands in `proc.clause` of each of its processes; above every clause number, never 0. */
  readonly id: number;
  /** `namespace/name` */
  readonly workload: string;
  readonly kind: 'run' | 'adopt';
  /** The process that was pinned; the command itself after its exec. */
  readonly pid: number;
  readonly startTicks: number;
  /** Without leading slash. */
  readonly cgroup: string;
  readonly cgroupId: number;
  /** `uid:0` */
  readonly by: string;
  /** RFC 3339 UTC. */
  readonly since: string;
}

interface Saved {
  readonly bootId: string;
  readonly pins: readonly Pin[];
}

const FILE = 'runs.json';
const FIRST_ID = 1 << 20;

/**
 * Processes that somebody put under a workload by hand. The kernel holds the pin of each process (PROC_PINNED: exec, fork
 * and a move keep it, nothing re-decides it); which workload it means is here and on disk, since the kernel knows only the
 * identity. A pin ends with its last process, with its workload, and with a reboot.
 */
export class RunPins {
  readonly #kernel: Kernel;
  readonly #tree: CgroupTree;
  #stateDir = '';
  #identityOf: (workload: string) => number | undefined = () => undefined;
  #pins = new Map<number, Pin>();
  /** On their way to the disk, so not in the kernel yet. */
  readonly #making = new Set<number>();
  #saving: Promise<void> = Promise.resolve();
  /** The kernel may hold pins that nobody here knows: an earlier agent's. */
  #isFirst = true;

  constructor(kernel: Kernel, tree: CgroupTree) {
    this.#kernel = kernel;
    this.#tree = tree;
  }

  /** What an earlier agent left, before anything is labelled. Throws when the file cannot be read; then there are none. */
  load(stateDir: string, identityOf: (workload: string) => number | undefined): void {
    this.#stateDir = stateDir;
    this.#identityOf = identityOf;
    const saved = readJson<Saved>(stateDir, FILE);
    if (saved?.bootId === bootId()) this.#pins = new Map(saved.pins.map((pin) => [pin.id, pin]));
  }

  get all(): readonly Pin[] {
    return [...this.#pins.values()];
  }

  /** The pin of a process as the kernel keeps it. */
  of({ flags, clause, origin }: Proc): Pin | undefined {
    return origin === RUN && (flags & ProcFlag.PROC_PINNED) !== 0 ? this.#pins.get(clause) : undefined;
  }

  /** On disk first, then in the kernel. The pin is in force when it resolves. */
  async add(pin: Omit<Pin, 'id' | 'since'>): Promise<Pin> {
    const id = Math.max(FIRST_ID - 1, ...this.#pins.keys()) + 1;
    const made = { ...pin, id, since: new Date().toISOString() };
    this.#pins.set(id, made);
    this.#making.add(id);
    try {
      await this.#save();
      this.pin(made, pin.pid);
    } catch (error) {
      this.#pins.delete(id);
      throw error;
    } finally {
      this.#making.delete(id);
    }
    return made;
  }

  /** Puts one more process under a pin; false = it has ended. */
  pin(pin: Pin, pid: number): boolean {
    const identity = this.#identityOf(pin.workload);
    const { proc } = this.#kernel.maps;
    const old = proc.get(pid);
    if (identity === undefined || startTicksOf(pid) === undefined) return false;
    proc.set(pid, {
      ...ZERO,
      identity,
      rank: 0xffffffff,
      clause: pin.id,
      gained_by: pin.pid,
      cgroup: pin.cgroupId,
      origin: RUN,
      flags: ((old?.flags ?? 0) & KEPT_FLAGS) | ProcFlag.PROC_PINNED,
      level: pin.cgroup.split('/').filter(Boolean).length,
    });
    if (startTicksOf(pid) !== undefined) return true;
    proc.delete(pid); // it ended between the look and the store: its exit came before the entry
    return false;
  }

  /** Identities follow the registrations; a pin whose workload is gone is an ordinary process again. */
  refresh(): void {
    if (this.#pins.size === 0 && !this.#isFirst) return;
    const { proc } = this.#kernel.maps;
    for (const [pid, entry] of [...proc.entriesBatch()]) {
      if (entry.origin !== RUN) continue;
      const pin = this.#pins.get(entry.clause);
      const identity = pin && this.#identityOf(pin.workload);
      if (identity === entry.identity) continue;
      if (identity !== undefined) proc.set(pid, { ...entry, identity });
      else proc.set(pid, { ...ZERO, flags: entry.flags & KEPT_FLAGS });
    }
    if (this.#isFirst) for (const pin of this.#pins.values()) this.#restore(pin);
    this.#isFirst = false;
    const gone = this.all.filter(({ workload }) => this.#identityOf(workload) === undefined);
    for (const { id } of gone) this.#pins.delete(id);
    if (gone.length > 0) void this.#save().catch(() => {}); // the next start forgets them by itself
  }

  /** Forgets pins without a process. Returns them: a cgroup that was made for one can go. */
  async prune(): Promise<Pin[]> {
    if (this.#pins.size === 0) return [];
    const held = new Set(this.#making);
    for (const [, { origin, clause }] of this.#kernel.maps.proc.entriesBatch()) if (origin === RUN) held.add(clause);
    const over = this.all.filter(({ id }) => !held.has(id));
    for (const { id } of over) this.#pins.delete(id);
    if (over.length > 0) await this.#save();
    return over;
  }

  /** The kernel's own entries outlive an agent; they are gone when everything was detached meanwhile. */
  #restore(pin: Pin): void {
    const isThere = (pid: number): boolean => {
      const entry = this.#kernel.maps.proc.get(pid);
      return entry !== undefined && this.of(entry) !== undefined;
    };
    if (startTicksOf(pin.pid) === pin.startTicks && !isThere(pin.pid)) this.pin(pin, pin.pid);
    if (pin.kind === 'adopt' || this.#tree.id(pin.cgroup) !== pin.cgroupId) return;
    for (const pid of this.#tree.pids(pin.cgroup)) if (!isThere(pid)) this.pin(pin, pid);
  }

  #save(): Promise<void> {
    const saved: Saved = { bootId: bootId(), pins: this.all };
    const write = () => writeFileAtomic(join(this.#stateDir, FILE), JSON.stringify(saved));
    this.#saving = this.#saving.then(write, write);
    return this.#saving;
  }
}

const KEPT_FLAGS = ProcFlag.PROC_GATEWAY | ProcFlag.PROC_FAILSAFE;
const RUN = LabelOrigin.ORIGIN_RUN;
const ZERO = procCodec.decode(new DataView(new ArrayBuffer(procCodec.size)), 0);

/** Undefined = there is no such process (any more). */
export function startTicksOf(pid: number): number | undefined {
  try {
    const stat = parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
    return stat.isZombie || stat.isKernelThread ? undefined : stat.startTicks;
  } catch {
    return undefined;
  }
}

export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
