import { readFileSync } from 'node:fs';

/**
 * CLOCK_BOOTTIME (the kernel's event stamps) to wall time. Node reads CLOCK_MONOTONIC; the two differ by the time that
 * the machine was suspended, which /proc/uptime tells to 10 ms.
 */
export function createBootClock(): (bootNs: number) => number {
  let suspendedNs = 0;
  let offsetUs = 0;
  let measuredAt = -Infinity;
  const measure = (): void => {
    const monotonicNs = Number(process.hrtime.bigint());
    const difference = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1e9 - monotonicNs;
    suspendedNs = Math.abs(difference) < 50e6 ? 0 : difference;
    offsetUs = (performance.timeOrigin + performance.now()) * 1000 - monotonicNs / 1000;
    measuredAt = performance.now();
  };
  return (bootNs) => {
    if (performance.now() - measuredAt > 60_000) measure();
    return (bootNs - suspendedNs) / 1000 + offsetUs;
  };
}
