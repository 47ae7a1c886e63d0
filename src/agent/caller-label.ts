import { readFileSync } from 'node:fs';
import type { CallerLabel, CallerQuestion } from '../api/caller-label.ts';
import { isLocalIdentity } from '../core/identity.ts';
import { acceptedPeer } from '../datapath/accepted-peer.ts';
import { knownConnection } from '../datapath/known-connection.ts';
import type { DatapathMaps } from '../datapath/maps.ts';
import { processLabel } from '../datapath/process-label.ts';
import type { CgroupTree } from './cgroup-tree.ts';
import type { FlowNames } from './flow-names.ts';

/** `accepted`: descriptor in this process of the other end, which knows too where the client is out of reach. */
export type CallerLabels = (asked: CallerQuestion & { readonly accepted?: number }) => CallerLabel;

/**
 * Which registered workload a process or the owner of a TCP socket is, asked of the kernel's maps.
 * Throws for a process that is no more: who it was cannot be told.
 */
export function callerLabels(maps: DatapathMaps, tree: CgroupTree, names: Pick<FlowNames, 'workload'>): CallerLabels {
  const answer = (identity: number, tgid: number): CallerLabel => {
    if (!isRegistered(identity)) return { identity: 0 };
    const workload = names.workload(identity, tgid);
    return { identity, ...(workload !== undefined && { workload }) };
  };
  return ({ pid, cookie, accepted }) => {
    if (pid !== undefined)
      return answer(
        processLabel(maps, pid, () => tree.id(cgroupOf(pid))),
        pid,
      );
    const own = cookie === undefined ? undefined : knownConnection(maps, cookie);
    if (own !== undefined && isRegistered(own.local_id)) return answer(own.local_id, own.tgid);
    return answer(accepted === undefined ? 0 : acceptedPeer(maps, accepted), 0);
  };
}

/** Not reserved, and not a prefix. */
function isRegistered(identity: number): boolean {
  return identity >= 1 << 16 && !isLocalIdentity(identity);
}

/** Below the cgroup2 root, without leading slash. Throws for a process that has begun to end: its own label is gone by then. */
function cgroupOf(pid: number): string {
  try {
    const cgroup = /^0::\/(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1];
    // proc(5): after the name, which may hold anything, come state, five numbers, flags
    const flags = /.*\) \S(?: -?\d+){5} (\d+) /s.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1];
    if (cgroup !== undefined && flags !== undefined && (Number(flags) & PF_EXITING) === 0) return cgroup;
  } catch {
    // ended
  }
  throw new Error(`Process ${pid}, which opened the connection, has ended or is in another pid namespace`);
}

const PF_EXITING = 4;
