import { statSync } from 'node:fs';
import type { OwnKernel } from '../kernel/own-kernel.ts';

/** A cgroup whose processes have this identity. Returns its folder. */
export function labelCgroup({ kernel, makeCgroup }: OwnKernel, name: string, identity: number): string {
  const folder = makeCgroup(name);
  const id = statSync(folder).ino;
  kernel.maps.cgroup_label.set(id, {
    ...{ identity, rank: 1, clause: 1, level: 2, flags: 0, n_patterns: 0, pad: 0, gained: id },
    patterns: new Array(8).fill(0),
  });
  return folder;
}
