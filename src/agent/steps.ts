/**
 * Work that reads much of /proc, in steps between which the event loop may do something else: a policy must not wait
 * behind it. What yields is a step.
 */
export type Steps<T> = Generator<undefined, T>;

/** The event loop is held for so many milliseconds at a time, and then left alone. */
const HOLD_MS = 1;
const REST_MS = 3;

export function runAtOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** A policy change has some fifteen turns of the event loop to wait for: few of them may meet such work. */
export async function runCalmly<T>(steps: Steps<T>): Promise<T> {
  let until = performance.now() + HOLD_MS;
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    if (performance.now() < until) continue;
    await new Promise((resolve) => setTimeout(resolve, REST_MS));
    until = performance.now() + HOLD_MS;
  }
}
