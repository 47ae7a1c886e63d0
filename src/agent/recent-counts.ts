import type { Flow } from '../api/flow.ts';

const MINUTES = 15;

interface Counts {
  allowed: number;
  denied: number;
  audit: number;
}

/** Verdicts of the last 15 minutes, minute by minute; each connection once, at its beginning. */
export class RecentCounts {
  readonly #minutes = new Map<number, Counts>();

  push({ event, verdict }: Flow, nowMs = Date.now()): void {
    const what = whatOf(event, verdict);
    if (what === undefined) return;
    const minute = Math.floor(nowMs / 60_000);
    let counts = this.#minutes.get(minute);
    if (counts === undefined) {
      counts = { allowed: 0, denied: 0, audit: 0 };
      this.#minutes.set(minute, counts);
      for (const old of this.#minutes.keys()) if (old <= minute - MINUTES) this.#minutes.delete(old);
    }
    counts[what]++;
  }

  read(nowMs = Date.now()): Counts & { minutes: number } {
    const sum = { allowed: 0, denied: 0, audit: 0 };
    for (const [minute, counts] of this.#minutes) {
      if (minute <= Math.floor(nowMs / 60_000) - MINUTES) continue;
      for (const what of ['allowed', 'denied', 'audit'] as const) sum[what] += counts[what];
    }
    return { ...sum, minutes: MINUTES };
  }
}

/** A connection of this host with itself is seen at both ends: `accept` counts where nobody here began it. */
function whatOf(event: Flow['event'], verdict: Flow['verdict']): keyof Counts | undefined {
  if (verdict === 'DROPPED') return event === 'deny' ? 'denied' : undefined;
  if (verdict === 'AUDIT') return 'audit';
  return event === 'connect' || event === 'exchange' ? 'allowed' : undefined;
}
