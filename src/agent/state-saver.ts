import type { Snapshot } from '../api/agent-stream.ts';
import { jsonSteps } from './json-steps.ts';
import { writeFileAtomic } from './state-file.ts';
import { runCalmly } from './steps.ts';

/** Changes within this time go to the disk together: a burst of revisions must not wait for a sync each. */
const SOON_MS = 250;

/**
 * Keeps the applied state on disk. What a crash within SOON_MS loses is in the kernel's pins and in the control plane; only a
 * reboot in that moment, with the control plane away, would begin one burst earlier.
 */
export class StateSaver {
  readonly #path: string;
  readonly #state: () => Snapshot;
  readonly #onResult: (problem: string | undefined) => void;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(path: string, state: () => Snapshot, onResult: (problem: string | undefined) => void) {
    this.#path = path;
    this.#state = state;
    this.#onResult = onResult;
  }

  soon(): void {
    this.#timer ??= setTimeout(() => void this.flush(), SOON_MS);
  }

  /** Now, if something waits; resolves when it is on the disk, or told why not. */
  flush(): Promise<void> {
    if (this.#timer === undefined) return this.#writing;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  async #write(): Promise<void> {
    try {
      await writeFileAtomic(this.#path, await runCalmly(jsonSteps(this.#state())));
      this.#onResult(undefined);
    } catch (error) {
      this.#onResult((error as Error).message);
    }
  }
}
