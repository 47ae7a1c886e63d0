import type { Kernel } from '../datapath/kernel.ts';
import { revoke } from '../datapath/revoke.ts';
import type { NetworkNamespaces } from './network-namespaces.ts';
import { runCalmly } from './steps.ts';

/** Decisions of so many milliseconds go together. */
const SOON_MS = 5;
/** A look at all connections of a namespace takes milliseconds, in which nobody is decided: between two, so many times as long. */
const REST = 4;

/**
 * Judges connections again after a process was decided late: at once where the process is, everywhere else soon, since a socket
 * stays in the namespace in which it was made.
 */
export class LateRevoke {
  readonly #kernel: Kernel;
  readonly #netns: NetworkNamespaces;
  readonly #log: (message: string) => void;
  /** Processes that were decided since. */
  #pids = new Set<number>();
  #isElsewhereDue = false;
  #timer: NodeJS.Timeout | undefined;
  /** performance.now() */
  #rested = 0;

  constructor(kernel: Kernel, netns: NetworkNamespaces, log: (message: string) => void) {
    this.#kernel = kernel;
    this.#netns = netns;
    this.#log = log;
  }

  soon(pid: number): void {
    this.#pids.add(pid);
    this.#isElsewhereDue = true;
    this.#timer ??= setTimeout(
      () => {
        this.#timer = undefined;
        this.#here();
      },
      Math.max(SOON_MS, this.#rested - performance.now()),
    );
  }

  /** In the other namespaces, one after the other, if anybody was decided since the last time. */
  elsewhere(): void {
    if (!this.#isElsewhereDue) return;
    this.#isElsewhereDue = false;
    runCalmly(this.#netns.eachInSteps(() => revoke(this.#kernel))).catch((error: Error) =>
      this.#log(`connections of who was decided: ${error.message}`),
    );
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #here(): void {
    const start = performance.now();
    const pids = this.#pids;
    this.#pids = new Set();
    try {
      this.#netns.of(pids, () => revoke(this.#kernel));
    } catch (error) {
      this.#log(`connections of who was decided: ${(error as Error).message}`);
    }
    const end = performance.now();
    this.#rested = end + REST * (end - start);
  }
}
