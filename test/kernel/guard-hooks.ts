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

/** What modules for tunnels put into every new namespace. */
const FALLBACK = /^(erspan0|gre0|gretap0|ip6gre0|ip6tnl0|ip6_vti0|ip_vti0|sit0|tunl0)$/;

/** Interfaces of the calling thread's namespace, by name; without those that came by themselves. */
export function madeInterfaces(): string[] {
  return readdirSync('/proc/sys/net/ipv4/conf')
    .sort()
    .filter((name) => name !== 'all' && name !== 'default' && !FALLBACK.test(name));
}

/** Those of them in that namespace that have a guard as clsact filter, once for each. */
export function clsactGuards(path: string): string[] {
  return inNetns(path, () =>
    madeInterfaces().flatMap((name) =>
      tcFilters(name, 'egress')
        .filter((filter) => filter.name?.startsWith('guard_egress:'))
        .map(() => name),
    ),
  );
}
