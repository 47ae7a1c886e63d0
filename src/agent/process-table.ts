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
  readonly #known = new Map<number, KnownProcess>();
  readonly #users: UserNames;
  readonly #cgroupPath: (id: number) => string | undefined;

  constructor(users: UserNames, cgroupPath: (id: number) => string | undefined) {
    this.#users = users;
    this.#cgroupPath = cgroupPath;
  }

  exec(event: ExecEvent): void {
    this.#remember({
      pid: event.tgid,
      exe: exeOf(event.tgid) ?? event.filename,
      user: this.#users.nameOf(event.uid),
      ...unitField(this.#cgroupPath(event.cgroup)),
    });
  }

  get(pid: number): KnownProcess | undefined {
    if (pid === 0) return undefined;
    const known = this.#known.get(pid);
    if (known !== undefined) return known;
    const process = readProcess(pid, this.#users);
    if (process === undefined) return { pid };
    const found: KnownProcess = {
      pid,
      ...(process.exe === undefined ? {} : { exe: process.exe }),
      user: process.user,
      ...unitField(process.cgroup),
    };
    this.#remember(found);
    return found;
  }

  #remember(process: KnownProcess): void {
    this.#known.delete(process.pid);
    this.#known.set(process.pid, process);
    if (this.#known.size > MAX_KNOWN) this.#known.delete(this.#known.keys().next().value!);
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
