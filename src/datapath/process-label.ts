import type { DatapathMaps } from './maps.ts';
import { ProcFlag } from './postern.skel.ts';

/** Identity of a process, label_of of bpf/label.h: its own label, else that of its cgroup (id, asked only then); 0 = none. */
export function processLabel(maps: DatapathMaps, tgid: number, cgroupOf: () => number | undefined): number {
  const own = maps.proc.get(tgid);
  if (own !== undefined && (own.identity !== 0 || (own.flags & (ProcFlag.PROC_SELF | ProcFlag.PROC_PINNED)) !== 0))
    return own.identity;
  const cgroup = cgroupOf();
  return cgroup === undefined ? 0 : (maps.cgroup_label.get(cgroup)?.identity ?? 0);
}
