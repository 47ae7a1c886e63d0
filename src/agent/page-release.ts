import { releaseFilePages } from 'libbpf-ts';

/** By then most of what the start needs of Node's own program is needed no more. */
const CALM_MS = 5_000;

/**
 * Gives back the pages of this program that only the start needed, once: when no policy has changed for some seconds, since it
 * takes 20 ms, and what is needed after all is read again.
 */
export class PageRelease {
  #timer: NodeJS.Timeout | undefined;

  constructor(path = process.execPath, calmMs = CALM_MS) {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      releaseFilePages(path);
    }, calmMs).unref();
  }

  /** Something changed: not now. */
  later(): void {
    this.#timer?.refresh();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
