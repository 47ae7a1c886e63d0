const READINGS = 16;

/**
 * The kernel's event stamps (CLOCK_MONOTONIC, which is Node's too) to wall time. Two clocks are read one after the other, and
 * a busy machine may run others in between: of several readings the closest pair counts, else all times would be late by that for
 * a minute. A machine that was suspended reads an event of before as late by that.
 */
export function createKernelClock(): (monotonicNs: number) => number {
  let offsetUs = 0;
  let measuredAt = -Infinity;
  const measure = (): void => {
    offsetUs = closest(READINGS, () => performance.timeOrigin + performance.now());
    measuredAt = performance.now();
  };
  return (monotonicNs) => {
    if (performance.now() - measuredAt > 60_000) measure();
    return monotonicNs / 1000 + offsetUs;
  };
}

/** Wall time minus monotonic time, µs. `wallMs` is read between two readings of the monotonic clock. */
export function closest(
  readings: number,
  wallMs: () => number,
  monotonicNs: () => number = () => Number(process.hrtime.bigint()),
): number {
  let narrowest = Infinity;
  let offsetUs = 0;
  for (let i = 0; i < readings; i++) {
    const before = monotonicNs();
    const wallUs = wallMs() * 1000;
    const after = monotonicNs();
    if (after - before >= narrowest) continue;
    narrowest = after - before;
    offsetUs = wallUs - (before + after) / 2000;
  }
  return offsetUs;
}
