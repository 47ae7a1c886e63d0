import { readdirSync, statSync } from 'node:fs';
import { interfaceIndex } from 'libbpf-ts';
import type { Kernel } from './kernel.ts';

/**
 * In the calling thread's network namespace (`namespace`: a name for it, digits and letters): no interface takes frames of
 * a packet socket whose workload's egress is enforced. Again for interfaces that are new. Needs tcx, kernel >= 6.6.
 */
export function guardNamespace(kernel: Kernel, namespace: string): void {
  const prefix = `guard_egress_${namespace}_`;
  const gone = new Set(kernel.attached().filter((name) => name.startsWith(prefix)));
  for (const name of readdirSync('/proc/sys/net/ipv4/conf')) {
    if (name === 'all' || name === 'default') continue;
    const pin = `${prefix}${interfaceIndex(name)}`;
    gone.delete(pin);
    kernel.keep(pin, 'guard_egress', (program) => program.attachTcx(name, 'egress'));
  }
  for (const pin of gone) kernel.drop(pin);
}

/** What runs in the cgroup folder `path` cannot send around the interfaces' guard. */
export function guardCgroup(kernel: Kernel, path: string): void {
  const id = statSync(path).ino;
  kernel.keep(`on_setsockopt_${id}`, 'on_setsockopt', (program) => program.attachCgroup(path));
}
