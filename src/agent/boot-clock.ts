import { readFileSync } from 'node:fs';

const READINGS = 16;

/**
 * CLOCK_BOOTTIME (the kernel's event stamps) to wall time. Node reads CLOCK_MONOTONIC; the two differ by the time that
 * the machine was suspended, which /proc/uptime tells to 10 ms. Two clocks are read one after the other, and a busy machine
 * may run others in between: of several readings the closest pair counts, else all times would be late by that for a minute.
 */
export function createBootClock(): (bootNs: number) => number {
  let suspendedNs = 0;
  let offsetUs = 0;
  let measuredAt = -Infinity;
  const measure = (): void => {
    const uptimeNs = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1e9;
    const difference = uptimeNs - Number(process.hrtime.bigint());
    suspendedNs = Math.abs(difference) < 50e6 ? 0 : difference;
    offsetUs = closest(READINGS, () => performance.timeOrigin + performance.now());
    measuredAt = performance.now();
  };
  return (bootNs) => {
    if (performance.now() - measuredAt > 60_000) measure();
    return (bootNs - suspendedNs) / 1000 + offsetUs;
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
