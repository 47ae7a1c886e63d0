import type { DatapathMaps } from './maps.ts';
import { Counter } from './postern.skel.ts';

export type CounterName =
  | 'eventLost'
  | 'event'
  | 'mapMiss'
  | 'localMiss'
  | 'noStorage'
  | 'procFull'
  | 'cgroupFull'
  | 'localFull'
  | 'unparsed'
  | 'argsCut'
  | 'pathDeep'
  | 'revoked'
  | 'revokeFailed'
  | 'backfilled'
  | 'kernelThread'
  | 'connectionFull';

const NAMES: Readonly<Record<CounterName, number>> = {
  eventLost: Counter.COUNT_EVENT_LOST,
  event: Counter.COUNT_EVENT,
  mapMiss: Counter.COUNT_MAP_MISS,
  localMiss: Counter.COUNT_LOCAL_MISS,
  noStorage: Counter.COUNT_NO_STORAGE,
  procFull: Counter.COUNT_PROC_FULL,
  cgroupFull: Counter.COUNT_CGROUP_FULL,
  localFull: Counter.COUNT_LOCAL_FULL,
  unparsed: Counter.COUNT_UNPARSED,
  argsCut: Counter.COUNT_ARGS_CUT,
  pathDeep: Counter.COUNT_PATH_DEEP,
  revoked: Counter.COUNT_REVOKED,
  revokeFailed: Counter.COUNT_REVOKE_FAILED,
  backfilled: Counter.COUNT_BACKFILLED,
  kernelThread: Counter.COUNT_KTHREAD,
  connectionFull: Counter.COUNT_CONNECTION_FULL,
};

/** Sums over all CPUs since the maps were made. */
export function readCounters(maps: DatapathMaps): Record<CounterName, number> {
  const read = (index: number): number => (maps.counters.getPerCpu(index) ?? []).reduce((sum, value) => sum + value, 0);
  return Object.fromEntries(Object.entries(NAMES).map(([name, index]) => [name, read(index)])) as Record<
    CounterName,
    number
  >;
}
