import { countFindings, type Finding, type HostFindings } from '../api/findings.ts';
import { findingsLook, type LookInput } from './findings-look.ts';
import { jsonSteps } from './json-steps.ts';
import { runCalmly, type Steps } from './steps.ts';

const EVERY_MS = 60_000;
/** The start is busy enough. */
const FIRST_MS = 5_000;
/** A control plane that lost them has them again by then. */
const AGAIN_MS = 600_000;

export interface FindingsSource {
  /** One look; `labelled` is read once. */
  readonly input: () => LookInput;
  /** Others were found than before. */
  readonly onChange: () => void;
  readonly log: (message: string) => void;
}

/** What this host's workloads hold that is stronger than policy: looked at every minute, in short turns, and on demand. */
export class Findings {
  readonly #source: FindingsSource;
  readonly #timers: NodeJS.Timeout[];
  #found: HostFindings = { items: [] };
  #text = '';
  /** What the control plane was told, and when. */
  #told: { readonly text: string; readonly at: number } | undefined;
  #looking: Promise<void> | undefined;

  constructor(source: FindingsSource) {
    this.#source = source;
    const look = () => void this.#look().catch((error: Error) => source.log(`findings: ${error.message}`));
    this.#timers = [setTimeout(look, FIRST_MS), setInterval(look, EVERY_MS)];
  }

  get found(): HostFindings {
    return this.#found;
  }

  /** Of a look that begins now, or after the one that is under way. Throws what stopped it. */
  async fresh(): Promise<HostFindings> {
    await this.#looking?.catch(() => undefined);
    await this.#look();
    return this.#found;
  }

  /** What to put into the next report, and what to call when it has arrived; undefined = nothing that is not known. */
  untold(): { readonly findings: readonly Finding[]; readonly onTold: () => void } | undefined {
    const text = this.#text;
    const isKnown = this.#told?.text === text && performance.now() - this.#told.at < AGAIN_MS;
    if (this.#found.lookedAt === undefined || isKnown) return undefined;
    const onTold = () => {
      this.#told = { text, at: performance.now() };
    };
    return { findings: this.#found.items, onTold };
  }

  /** The control plane may be another one, or have forgotten. */
  tellAgain(): void {
    this.#told = undefined;
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #look(): Promise<void> {
    this.#looking ??= this.#lookOnce().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #lookOnce(): Promise<void> {
    const { items, text } = await runCalmly(this.#steps());
    const before = this.#found.items;
    this.#found = { items, lookedAt: new Date().toISOString() };
    if (text === this.#text) return;
    this.#text = text;
    this.#say(items, before);
    this.#source.onChange();
  }

  *#steps(): Steps<{ items: Finding[]; text: string }> {
    const items = yield* findingsLook(this.#source.input());
    return { items, text: yield* jsonSteps({ items }) };
  }

  /** The log says how many there are when that has changed. */
  #say(items: readonly Finding[], before: readonly Finding[]): void {
    const text = (list: readonly Finding[]) => {
      const { high, medium, low } = countFindings(list);
      return `findings: ${high} high, ${medium} medium, ${low} low`;
    };
    if (text(items) !== text(before)) this.#source.log(`${text(items)}: postern doctor`);
  }
}
