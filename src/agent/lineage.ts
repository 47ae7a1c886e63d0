import { type Gateways, gatewayOf } from '../core/gateways.ts';

const KEPT = 20_000;
const SESSIONS_KEPT = 1_000;

/**
 * Who descends, exec by exec, from a process that had a workload's label by its cgroup: pid → workload, also after the
 * label was lost, since what a unit starts by `su -` is moved into a login session. Of such a session everything counts:
 * whose parent has ended before the exec has no other trace. What a program that starts jobs has started (sshd, cron)
 * does not descend from it.
 */
export class Lineage {
  readonly #gateways: Gateways;
  readonly #of = new Map<number, string>();
  readonly #sessions = new Map<string, string>();

  constructor(gateways: Gateways) {
    this.#gateways = gateways;
  }

  /** @param exe resolved @param cgroup where it runs @param workload whose label its cgroup gives it */
  exec(pid: number, parent: number, exe: string, cgroup: string, workload: string | undefined): void {
    const from = workload ?? this.#of.get(pid) ?? this.#of.get(parent) ?? this.#sessions.get(cgroup);
    this.#of.delete(pid);
    if (from === undefined || gatewayOf(this.#gateways, { exe })?.startsJobs) return;
    keep(this.#of, pid, from, KEPT);
    if (workload === undefined && SESSION.test(cgroup)) keep(this.#sessions, cgroup, from, SESSIONS_KEPT);
  }

  of(pid: number): string | undefined {
    return this.#of.get(pid);
  }
}

const SESSION = /\/session-[^/]*\.scope$/;

/** The oldest goes when there are too many. */
function keep<K>(map: Map<K, string>, key: K, value: string, most: number): void {
  map.set(key, value);
  if (map.size > most) map.delete(map.keys().next().value!);
}
