/** What the guard of packet sockets can be attached to on this kernel, and where it is. */
import { readdirSync } from 'node:fs';
import { features, inNetns, tcFilters } from 'libbpf-ts';
import type { GuardHook } from '../../src/datapath/packet-guard.ts';
import { hasKernelOption } from './kernel-config.ts';

const HAVE: Readonly<Record<GuardHook, boolean>> = {
  tcx: features().tcx,
  clsact: hasKernelOption('NET_SCH_INGRESS') && hasKernelOption('NET_CLS_BPF'),
};

export const GUARD_HOOKS = (['tcx', 'clsact'] as const).filter((hook) => HAVE[hook]);

/** For each that is missing, in the words of `skip`. */
export const MISSING_HOOKS = (['tcx', 'clsact'] as const)
  .filter((hook) => !HAVE[hook])
  .map((hook) => `kernel: ${hook === 'tcx' ? 'needs 6.6 (tcx)' : 'no CONFIG_NET_SCH_INGRESS or CONFIG_NET_CLS_BPF'}`);

/** Interfaces of the namespace that have a guard as clsact filter, once for each, by name. */
export function clsactGuards(path: string): string[] {
  return inNetns(path, () =>
    readdirSync('/proc/sys/net/ipv4/conf')
      .sort()
      .filter((name) => name !== 'all' && name !== 'default')
      .flatMap((name) =>
        tcFilters(name, 'egress')
          .filter((filter) => filter.name?.startsWith('guard_egress:'))
          .map(() => name),
      ),
  );
}
