import type { Flow } from '../api/flow.ts';
import type { ServerClient } from './server-client.ts';

/** Flows that may wait for the server, about 40 MB of text; what comes beyond is lost and counted. */
const MAX_WAITING = 50_000;
const BATCH = 1_000;
const EVERY_MS = 100;
const RETRY_MS = 1_000;

/** Flows on their way up: batched, bounded, counted when dropped. Never blocks and never throws. */
export class FlowQueue {
  readonly #client: ServerClient;
  readonly #host: string;
  /** As text: half of what the objects would take. */
  #waiting: string[] = [];
  #lost = 0;
  #timer: NodeJS.Timeout | undefined;
  #sending = false;
  #stopped = false;

  constructor(client: ServerClient, host: string) {
    this.#client = client;
    this.#host = host;
  }

  push(flow: Flow): void {
    if (this.#waiting.length >= MAX_WAITING) {
      this.#lost++;
      return;
    }
    this.#waiting.push(JSON.stringify(flow));
    this.#schedule(EVERY_MS);
  }

  /** Events that went missing before they were flows (a full ring). */
  lost(count: number): void {
    if (count === 0) return;
    this.#lost += count;
    this.#schedule(EVERY_MS);
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(ms: number): void {
    if (this.#timer !== undefined || this.#sending || this.#stopped) return;
    this.#timer = setTimeout(() => void this.#send(), ms);
  }

  async #send(): Promise<void> {
    this.#timer = undefined;
    this.#sending = true;
    const batch = this.#waiting.slice(0, BATCH);
    const lost = this.#lost;
    const lines = [JSON.stringify({ host: this.#host, lost }), ...batch];
    try {
      await this.#client.send('POST', '/v1/agent/flows', 'application/x-ndjson', `${lines.join('\n')}\n`);
      this.#waiting = this.#waiting.slice(batch.length);
      this.#lost -= lost;
      this.#sending = false;
      if (this.#waiting.length > 0 || this.#lost > 0) this.#schedule(this.#waiting.length >= BATCH ? 0 : EVERY_MS);
    } catch {
      this.#sending = false; // the server is away: told by the watch; the flows wait
      this.#schedule(RETRY_MS);
    }
  }
}
