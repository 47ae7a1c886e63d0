import type { ListeningSocket } from '../core/match-clause.ts';
import { addressText } from '../datapath/events.ts';
import type { ListenEvent } from '../datapath/postern.skel.ts';
import type { Labels } from './labels.ts';

/** What the kernel cannot decide: processes are asked again when they exec or listen, as long as a clause needs it. */
export class LateClauses {
  readonly #labels: Labels;
  readonly #listening = new Map<number, ListeningSocket[]>();

  constructor(labels: Labels) {
    this.#labels = labels;
  }

  exec(pid: number): void {
    this.#listening.delete(pid);
    if (this.#labels.program.late.length > 0) this.#labels.settle(pid, []);
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
    this.#labels.settle(event.tgid, sockets);
  }
}
