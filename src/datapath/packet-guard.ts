import { readdirSync, statSync } from 'node:fs';
import { interfaceIndex } from 'libbpf-ts';
import type { Kernel } from './kernel.ts';

const NAMESPACE = 'guard_egress_';
const CGROUP = 'on_setsockopt_';

/**
 * In the calling thread's network namespace (`namespace`: a name for it, digits and letters): no interface takes frames of
 * a packet socket whose workload's egress is enforced. Again for interfaces that are new. Needs tcx, kernel >= 6.6.
 */
export function guardNamespace(kernel: Kernel, namespace: string | number): void {
  const prefix = `${NAMESPACE}${namespace}_`;
  const gone = new Set(kernel.attached().filter((name) => name.startsWith(prefix)));
  for (const name of readdirSync('/proc/sys/net/ipv4/conf')) {
    if (name === 'all' || name === 'default') continue;
    try {
      const pin = `${prefix}${interfaceIndex(name)}`;
      if (gone.delete(pin) && kernel.isDangling(pin)) kernel.drop(pin); // another interface had this index
      kernel.keep(pin, 'guard_egress', (program) => program.attachTcx(name, 'egress'));
    } catch (error) {
      if ((error as { code?: string }).code !== 'ENODEV') throw error; // the interface is gone
    }
  }
  for (const pin of gone) kernel.drop(pin);
}

/** What runs in the cgroup folder `path` cannot send around the interfaces' guard. */
export function guardCgroup(kernel: Kernel, path: string): void {
  const id = statSync(path).ino;
  kernel.keep(`${CGROUP}${id}`, 'on_setsockopt', (program) => program.attachCgroup(path));
}

/** What is left of namespaces and cgroups that are no more. */
export function dropDangling(kernel: Kernel): void {
  for (const pin of kernel.attached())
    if ((pin.startsWith(NAMESPACE) || pin.startsWith(CGROUP)) && kernel.isDangling(pin)) kernel.drop(pin);
}
