/**
 * Filters of the traffic control layer at interfaces of the current network namespace: what programs attach to before Linux 6.6
 * (tcx). No link holds them: they stay until they or the interface are removed, whoever attached them.
 */
import { interfaceIndex } from '../sys/interface.ts';
import type { TcDirection, TcFilter, TcFilterId } from '../sys/tc.ts';
import { tcDetach, tcFilterDump, tcHookCreate, tcHookDestroy, tcQdiscKind, tcQuery } from '../sys/tc.ts';

export type { TcDirection, TcFilter, TcFilterId };

/** Makes the clsact qdisc, which holds the filters; false if there is one, or an ingress qdisc in its place. */
export function createClsact(ifname: string): boolean {
  return tcHookCreate(interfaceIndex(ifname), () => `make a clsact qdisc at "${ifname}"`);
}

/** Removes it with every filter in it, whoever's they are; false if there is none. */
export function removeClsact(ifname: string): boolean {
  return tcHookDestroy(interfaceIndex(ifname), () => `remove the clsact qdisc of "${ifname}"`);
}

/** "ingress": an old qdisc in the same place, which has no egress. Undefined: neither. */
export function clsactKind(ifname: string): 'clsact' | 'ingress' | undefined {
  return tcQdiscKind(interfaceIndex(ifname), () => `list qdiscs of "${ifname}"`) as 'clsact' | 'ingress' | undefined;
}

/**
 * Filters of any kind, in their order. A filter with handle 0 stands for its priority itself. An ingress qdisc answers
 * with its own filters for both directions.
 */
export function tcFilters(ifname: string, direction: TcDirection): TcFilter[] {
  return tcFilterDump(interfaceIndex(ifname), direction, () => `list filters of tc ${direction} of "${ifname}"`);
}

/** Id of the program in that filter; undefined if there is no such filter. */
export function queryTc(ifname: string, direction: TcDirection, id: TcFilterId): number | undefined {
  return tcQuery(
    interfaceIndex(ifname),
    direction,
    id,
    () => `query ${describe(id)} of tc ${direction} of "${ifname}"`,
  );
}

/** Removes that filter; false if there is none. The qdisc stays. */
export function detachTc(ifname: string, direction: TcDirection, id: TcFilterId): boolean {
  const op = (): string => `remove ${describe(id)} from tc ${direction} of "${ifname}"`;
  return tcDetach(interfaceIndex(ifname), direction, id, op);
}

function describe({ priority, handle }: TcFilterId): string {
  return `filter ${handle} of priority ${priority}`;
}
