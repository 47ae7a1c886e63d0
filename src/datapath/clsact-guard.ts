import { resolve } from 'node:path';
import { clsactKind, createClsact, detachTc, removeClsact, type TcFilter, tcFilters } from 'libbpf-ts';
import { contentHash } from './hash.ts';
import type { Kernel } from './kernel.ts';

const PROGRAM = 'guard_egress';
/** Before all others, whose answers may end the walk. */
const PRIORITY = 1;
/** Last bit of our handles: the qdisc is ours too. */
const MADE_QDISC = 1;

/**
 * The guard as a clsact filter of the interface `ifname`: for kernels without tcx. Nothing but the interface holds it, so it outlives
 * the agent, and goes with the interface or by `unguardByClsact`. A filter of an earlier run gets this run's program.
 *
 * Which filter is ours says the interface itself, not a note of ours: its handle is made of the pin folder, and of whether the
 * qdisc was there before. So it is found again after whatever end, and in whichever namespace the interface is.
 */
export function guardByClsact(kernel: Kernel, ifname: string): void {
  const program = kernel.programs.program(PROGRAM);
  const base = handleOf(kernel.pinDir);
  const found = tcFilters(ifname, 'egress').find((filter) => isOurs(filter, base));
  if (found !== undefined) {
    const { priority, handle, programId } = found;
    if (programId !== program.info().id) program.attachTc(ifname, 'egress', { priority, handle, replace: true });
    return;
  }
  const made = createClsact(ifname);
  try {
    program.attachTc(ifname, 'egress', { priority: PRIORITY, handle: made ? base | MADE_QDISC : base });
  } catch (error) {
    if (made) removeClsact(ifname);
    throw error;
  }
}

/**
 * Takes the filter of whoever guarded with these pins from the interface, and the qdisc if it came with the filter and nobody else
 * uses it. False: there was none.
 */
export function unguardByClsact(pinDir: string, ifname: string): boolean {
  const base = handleOf(pinDir);
  const found = tcFilters(ifname, 'egress').find((filter) => isOurs(filter, base));
  if (found === undefined) return false;
  detachTc(ifname, 'egress', found);
  const isEmpty = (['ingress', 'egress'] as const).every((direction) => tcFilters(ifname, direction).length === 0);
  if ((found.handle & MADE_QDISC) !== 0 && isEmpty && clsactKind(ifname) === 'clsact') removeClsact(ifname);
  return true;
}

/** Positive, and even. */
function handleOf(pinDir: string): number {
  return (contentHash(resolve(pinDir)) & 0x7fff_fffe) | 2;
}

function isOurs(filter: TcFilter, base: number): boolean {
  const { kind, priority, handle, name } = filter;
  if (kind !== 'bpf' || priority !== PRIORITY || (handle & ~MADE_QDISC) !== base) return false;
  return name?.startsWith(`${PROGRAM}:[`) ?? false;
}
