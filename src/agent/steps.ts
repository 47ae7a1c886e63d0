/**
 * Work that reads much of /proc, in steps between which the event loop may do something else: a policy must not wait
 * behind it. What yields is a step.
 */
export type Steps<T> = Generator<undefined, T>;

/** The event loop is given back after so many milliseconds. */
const HOLD_MS = 1;

export function runAtOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** Holds the event loop for HOLD_MS at a time; a policy change has some ten turns to wait for. */
export async function runCalmly<T>(steps: Steps<T>): Promise<T> {
  let until = performance.now() + HOLD_MS;
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    if (performance.now() < until) continue;
    await new Promise((resolve) => setImmediate(resolve));
    until = performance.now() + HOLD_MS;
  }
}
