/** Questions to agents: down on the stream that each holds, up by a POST. Nothing is kept: who does not answer in time has not. */
import type { AgentAnswer } from '../api/preview.ts';

type Write = (line: string) => void;

export type Asked =
  | { readonly state: 'answered'; readonly answer: AgentAnswer }
  | { readonly state: 'timeout' | 'away' };

interface Question {
  readonly waiting: Set<string>;
  take(answer: AgentAnswer): void;
}

export class Asks {
  /** Host → its streams here. A host that has just connected again may have two: each is asked, the first answer counts. */
  readonly #streams = new Map<string, Set<Write>>();
  readonly #open = new Map<string, Question>();

  connect(host: string, write: Write): () => void {
    const streams = this.#streams.get(host) ?? new Set();
    this.#streams.set(host, streams.add(write));
    return () => {
      streams.delete(write);
      if (streams.size === 0 && this.#streams.get(host) === streams) this.#streams.delete(host);
    };
  }

  get connected(): ReadonlySet<string> {
    return new Set(this.#streams.keys());
  }

  /** Resolves when all of `hosts` that are connected have answered, or after `timeoutMs`. */
  ask(hosts: readonly string[], question: object, timeoutMs: number): Promise<ReadonlyMap<string, Asked>> {
    const id = crypto.randomUUID();
    const asked = new Map<string, Asked>(hosts.map((host) => [host, { state: 'away' }]));
    const waiting = new Set(hosts.filter((host) => this.#streams.has(host)));
    for (const host of waiting) asked.set(host, { state: 'timeout' });
    if (waiting.size === 0) return Promise.resolve(asked);
    return new Promise((resolve) => {
      const finish = () => {
        clearTimeout(timer);
        this.#open.delete(id);
        resolve(asked);
      };
      const timer = setTimeout(finish, timeoutMs);
      this.#open.set(id, {
        waiting,
        take: (answer) => {
          if (!waiting.delete(answer.host)) return;
          asked.set(answer.host, { state: 'answered', answer });
          if (waiting.size === 0) finish();
        },
      });
      const line = JSON.stringify({ type: 'ask', id, ...question });
      for (const host of [...waiting]) for (const write of this.#streams.get(host)!) write(line);
    });
  }

  /** False = nobody waits for it (any more). */
  answer(id: string, answer: AgentAnswer): boolean {
    const question = this.#open.get(id);
    question?.take(answer);
    return question !== undefined;
  }
}
