/** Flows as they arrive, for everyone who follows: each line is made once, whoever reads it. */
import type { Flow } from '../api/flow.ts';
import type { Stream } from './stream.ts';

type Listener = (flow: Flow, json: string) => void;

export class FlowHub {
  readonly #listeners = new Set<Listener>();

  get followers(): number {
    return this.#listeners.size;
  }

  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  publish(flow: Flow, json: string): void {
    for (const listener of this.#listeners) listener(flow, json);
  }
}

/** Bytes that may wait for a follower; beyond, flows are left out for it, and it is told how many. */
const MAX_WAITING = 1024 * 1024;

/** Writes flows to a stream for as long as its reader keeps up. */
export function flowWriter(stream: Stream): Listener {
  let lost = 0;
  return (flow, json) => {
    if (stream.waiting > MAX_WAITING) {
      lost++;
      return;
    }
    if (lost > 0) {
      const event: Flow = { time: flow.time, event: 'lost', count: lost, where: 'stream' };
      stream.write(JSON.stringify(event));
      lost = 0;
    }
    stream.write(json);
  };
}
