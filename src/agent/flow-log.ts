import type { Flow } from '../api/flow.ts';

/** Flows kept for whoever asks the agent itself. */
const KEPT = 4096;
/** More that may be there before the oldest go, so that not every flow moves all others. */
const SPARE = 512;

/** The last flows of this host, and who follows them. */
export class FlowLog {
  readonly #flows: Flow[] = [];
  readonly #followers = new Set<(flow: Flow) => void>();

  push(flow: Flow): void {
    this.#flows.push(flow);
    if (this.#flows.length > KEPT + SPARE) this.#flows.splice(0, this.#flows.length - KEPT);
    for (const follow of this.#followers) follow(flow);
  }

  last(count: number): readonly Flow[] {
    return count === 0 ? [] : this.#flows.slice(-Math.min(count, KEPT));
  }

  /** Returns the function that ends it. */
  follow(onFlow: (flow: Flow) => void): () => void {
    this.#followers.add(onFlow);
    return () => this.#followers.delete(onFlow);
  }
}
