/** The kernel's stamps as wall time. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { closest, createKernelClock } from '../../src/agent/kernel-clock.ts';

const test = suite('kernel clock');

test('a reading that others ran in the middle of does not count', () => {
  // Wall time is 5000 µs ahead of monotonic time; every reading but the third is interrupted for 40 ms, before or after the wall clock.
  let nowUs = 0;
  let reading = 0;
  const tick = (us: number): number => {
    nowUs += us;
    return nowUs;
  };
  const wallMs = (): number => {
    reading++;
    const late = reading === 3 ? 0 : 40_000;
    const wallUs = tick(reading % 2 === 0 ? late : 0) + 5000;
    tick(reading % 2 === 0 ? 0 : late);
    return wallUs / 1000;
  };
  assert.is(Math.round(closest(6, wallMs, () => tick(1) * 1000)), 5000);
});

test('a stamp of now is now', () => {
  const wallUs = createKernelClock();
  const offsets = Array.from({ length: 50 }, () => {
    const before = (performance.timeOrigin + performance.now()) * 1000;
    const at = wallUs(Number(process.hrtime.bigint()));
    const after = (performance.timeOrigin + performance.now()) * 1000;
    return at < before ? before - at : Math.max(0, at - after);
  });
  assert.ok(Math.min(...offsets) < 1000, `${offsets}`);
});

test.run();
