import { type Gateways, gatewayOf } from '../core/gateways.ts';

/** Who descends, exec by exec, from a process that had a workload's label by its cgroup. */
const KEPT = 20_000;

/**
 * pid → workload, also after the label was lost: what a unit starts by `su -` is moved into a login session. What a
 * program that starts jobs has started (sshd, cron) does not descend from it.
 */
export class Lineage {
  readonly #gateways: Gateways;
  readonly #of = new Map<number, string>();

  constructor(gateways: Gateways) {
    this.#gateways = gateways;
  }

  exec(pid: number, parent: number, exe: string, workload: string | undefined): void {
    const from = workload ?? this.#of.get(pid) ?? this.#of.get(parent);
    this.#of.delete(pid);
    if (from === undefined || gatewayOf(this.#gateways, { exe })?.startsJobs) return;
    this.#of.set(pid, from);
    if (this.#of.size > KEPT) this.#of.delete(this.#of.keys().next().value!);
  }

  of(pid: number): string | undefined {
    return this.#of.get(pid);
  }
}
