import type { Finding } from '../api/findings.ts';
import type { Findings } from './findings.ts';
import type { HostReports } from './host-report.ts';
import { jsonSteps } from './json-steps.ts';
import type { ServerClient } from './server-client.ts';
import { runCalmly } from './steps.ts';

/** A change is told after this; more changes meanwhile go in the same report. */
const SOON_MS = 150;
/** A report reads /proc, in steps: it takes about a tenth of this part of the agent's time. */
const SHARE = 3;
/** So often at least, so that the control plane knows that the agent lives. */
const EVERY_MS = 10_000;

/** Tells the control plane what this host is: soon after a change, and regularly. One report is under way at a time. */
export class Reporter {
  readonly #client: ServerClient;
  readonly #path: string;
  readonly #reports: HostReports;
  readonly #findings: Findings;
  readonly #log: (message: string) => void;
  #timer: NodeJS.Timeout | undefined;
  #due = Number.POSITIVE_INFINITY;
  #sending = false;
  #again = false;
  #stopped = false;
  #failed = false;
  /** When the next report may begin, performance.now(). */
  #rested = 0;

  constructor(
    client: ServerClient,
    host: string,
    reports: HostReports,
    findings: Findings,
    log: (message: string) => void,
  ) {
    this.#client = client;
    this.#path = `/v1/agent/hosts/${encodeURIComponent(host)}/report`;
    this.#reports = reports;
    this.#findings = findings;
    this.#log = log;
  }

  soon(): void {
    if (this.#sending) this.#again = true;
    else this.#schedule(Math.max(SOON_MS, Math.min(this.#rested - performance.now(), EVERY_MS)));
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(ms: number): void {
    const due = Date.now() + ms;
    if (this.#stopped || due >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => void this.#send(), ms);
  }

  async #send(): Promise<void> {
    this.#due = Number.POSITIVE_INFINITY;
    this.#sending = true;
    this.#again = false;
    try {
      const untold = this.#findings.untold();
      await this.#client.send('PUT', this.#path, 'application/json', await this.#look(untold?.findings));
      untold?.onTold();
      this.#failed = false;
    } catch (error) {
      if (!this.#failed && !this.#stopped) this.#log(`report: ${(error as Error).message}`);
      this.#failed = true;
    }
    this.#sending = false;
    this.#schedule(EVERY_MS);
    if (this.#again) this.soon();
  }

  /** Findings are told when they are others than before: the control plane keeps them. */
  async #look(findings: readonly Finding[] | undefined): Promise<string> {
    const start = performance.now();
    const text = await runCalmly(jsonSteps({ ...(await this.#reports.report()), findings }));
    const end = performance.now();
    this.#rested = end + (end - start) * SHARE;
    return text;
  }
}
