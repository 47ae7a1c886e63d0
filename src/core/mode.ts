/** What policy does, from nothing to all: `observe` judges nothing, `audit` forwards what it would drop and says so, `enforce` drops it. */
export const MODES = ['observe', 'audit', 'enforce'] as const;
export type Mode = (typeof MODES)[number];

/** Of a host and a workload on it, say: what neither goes beyond. Absent = enforce. */
export function lesser(a: Mode | undefined, b: Mode | undefined): Mode {
  return MODES[Math.min(...[a, b].map((mode) => MODES.indexOf(mode ?? 'enforce')))]!;
}
