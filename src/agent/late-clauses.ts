import { readFileSync } from 'node:fs';
import type { ListeningSocket } from '../core/match-clause.ts';
import { addressText } from '../datapath/events.ts';
import { type CgroupEvent, type ExecEvent, type ListenEvent, ProcFlag } from '../datapath/postern.skel.ts';
import type { Labels } from './labels.ts';
import type { LateRevoke } from './late-revoke.ts';

/** How long it is remembered that a process was decided late, ms. */
const REMEMBERED_MS = 10_000;

/**
 * What the kernel cannot decide. It says which processes wait (PROC_PENDING): those are decided as soon as their exec is
 * read; and whoever listens is asked again as long as a clause needs it.
 */
export class LateClauses {
  readonly #labels: Labels;
  readonly #revoke: LateRevoke;
  readonly #listening = new Map<number, ListeningSocket[]>();
  /** Until when (ms since 1970) a process was provisional. */
  readonly #decided = new Map<number, number>();

  /** @param revoke sockets have another name now: connections are to be judged again */
  constructor(labels: Labels, revoke: LateRevoke) {
    this.#labels = labels;
    this.#revoke = revoke;
  }

  exec(event: ExecEvent): void {
    if (event.forked === 0) this.#listening.delete(event.tgid);
    if ((event.flags & ProcFlag.PROC_PENDING) !== 0)
      this.#settle(event.tgid, { forkedFrom: event.forked === 0 ? undefined : event.ppid, uid: uidThen(event) });
    else if (this.#decided.has(event.tgid) && this.#labels.late.restore(event)) this.#revoke.soon(event.tgid);
  }

  cgroup(event: CgroupEvent): void {
    if (event.removed === 0) this.#labels.settleCgroup(event.id);
  }

  listen(event: ListenEvent): void {
    if (!this.#labels.program.late.some(({ listen }) => listen !== undefined)) return;
    const sockets = this.#listening.get(event.tgid) ?? [];
    sockets.push({
      protocol: event.protocol === 17 ? 17 : 6,
      port: event.port,
      address: addressText(event.addr) || '::',
    });
    this.#listening.set(event.tgid, sockets);
    if (this.#labels.late.settle(event.tgid, { listening: sockets })) this.#revoke.soon(event.tgid);
  }

  /** Whose event was lost is found here. */
  look(): void {
    this.#revoke.elsewhere();
    for (const pid of this.#labels.late.pending()) this.#settle(pid);
    const old = Date.now() - REMEMBERED_MS;
    for (const [pid, until] of this.#decided) if (until < old) this.#decided.delete(pid);
  }

  stop(): void {
    this.#revoke.stop();
  }

  /** Was it not known who this process is? */
  wasPending(pid: number, wallUs: number): boolean {
    return wallUs <= (this.#decided.get(pid) ?? 0) * 1000;
  }

  #settle(pid: number, then: { forkedFrom?: number | undefined; uid?: number | undefined } = {}): void {
    const moved = this.#labels.late.settle(pid, then);
    this.#decided.set(pid, Date.now() + 1);
    if (moved) this.#revoke.soon(pid);
  }
}

/** A user is the one at the exec: a master's worker may have given up root by now. Undefined: it runs another program by now. */
function uidThen({ tgid, comm, uid }: ExecEvent): number | undefined {
  try {
    return readFileSync(`/proc/${tgid}/comm`, 'utf8').trimEnd() === comm ? uid : undefined;
  } catch {
    return undefined; // it has ended
  }
}
