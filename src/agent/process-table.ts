import { readlinkSync } from 'node:fs';
import type { ExecEvent } from '../datapath/postern.skel.ts';
import { readProcess } from './process-scan.ts';
import { unitOf } from './unit-of.ts';
import type { UserNames } from './user-names.ts';

/** What a flow says of a process. */
export interface KnownProcess {
  readonly pid: number;
  readonly exe?: string;
  readonly user?: string;
  readonly unit?: string;
}

/** Processes kept, the oldest go first: enough for the flows of the last minutes. */
const MAX_KNOWN = 20_000;

/**
 * pid → program, also for those that have ended: a client is often gone before its flow is read. Filled by exec events,
 * which come first, and by /proc for who was there before or only forked.
 */
export class ProcessTable {
  readonly #known = new Map<number, { readonly process: KnownProcess; readonly cgroup: string | undefined }>();
  readonly #users: UserNames;
  readonly #cgroupPath: (id: number) => string | undefined;

  constructor(users: UserNames, cgroupPath: (id: number) => string | undefined) {
    this.#users = users;
    this.#cgroupPath = cgroupPath;
  }

  exec(event: ExecEvent): void {
    const cgroup = this.#cgroupPath(event.cgroup);
    const exe = exeOf(event.tgid) ?? event.filename;
    this.#remember({ pid: event.tgid, exe, user: this.#users.nameOf(event.uid), ...unitField(cgroup) }, cgroup);
  }

  get(pid: number): KnownProcess | undefined {
    return this.#find(pid)?.process;
  }

  /** Where it runs or ran, below the cgroup2 root. */
  cgroupOf(pid: number): string | undefined {
    return this.#find(pid)?.cgroup;
  }

  #find(pid: number): { readonly process: KnownProcess; readonly cgroup: string | undefined } | undefined {
    if (pid === 0) return undefined;
    const known = this.#known.get(pid);
    if (known !== undefined) return known;
    const process = readProcess(pid, this.#users);
    if (process === undefined) return { process: { pid }, cgroup: undefined };
    const { exe, user, cgroup } = process;
    return this.#remember({ pid, ...(exe === undefined ? {} : { exe }), user, ...unitField(cgroup) }, cgroup);
  }

  #remember(process: KnownProcess, cgroup: string | undefined) {
    const known = { process, cgroup };
    this.#known.delete(process.pid);
    this.#known.set(process.pid, known);
    if (this.#known.size > MAX_KNOWN) this.#known.delete(this.#known.keys().next().value!);
    return known;
  }
}

function unitField(cgroup: string | undefined): { unit?: string } {
  const unit = cgroup === undefined ? undefined : unitOf(cgroup);
  return unit === undefined ? {} : { unit: unit.name };
}

function exeOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '');
  } catch {
    return undefined;
  }
}
