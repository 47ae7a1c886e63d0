import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { BpfMap, features, interfaceIndex } from 'libbpf-ts';
import { guardByClsact, unguardByClsact } from './clsact-guard.ts';
import { IdentityWords } from './identity-words.ts';
import type { Kernel } from './kernel.ts';
import { mapCodecs } from './maps.ts';

const NAMESPACE = 'guard_egress_';
const CGROUP = 'on_setsockopt_';

/** Where the guard sits at an interface: links of tcx (Linux 6.6), else filters of clsact. */
export type GuardHook = 'tcx' | 'clsact';

export function guardHook(): GuardHook {
  return features().tcx ? 'tcx' : 'clsact';
}

/**
 * In the calling thread's network namespace (`namespace`: a name for it, digits and letters): no interface takes frames of
 * a packet socket whose workload's egress is enforced. Again for interfaces that are new. What is wrong with one interface
 * keeps no other from its guard, and is thrown then.
 */
export function guardNamespace(kernel: Kernel, namespace: string | number, hook: GuardHook = guardHook()): void {
  const errors = hook === 'tcx' ? guardByTcx(kernel, namespace) : eachInterface((name) => guardByClsact(kernel, name));
  // Without the code: ENOENT of an attach is a kernel that lacks something, of a file it is a process that ended.
  if (errors.length > 0) throw new Error(errors[0]!.message, { cause: errors[0] });
}

function guardByTcx(kernel: Kernel, namespace: string | number): Error[] {
  const prefix = `${NAMESPACE}${namespace}_`;
  const gone = new Set(kernel.attached().filter((name) => name.startsWith(prefix)));
  const errors = eachInterface((name) => {
    const pin = `${prefix}${interfaceIndex(name)}`;
    if (gone.delete(pin) && kernel.isDangling(pin)) kernel.drop(pin); // another interface had this index
    kernel.keep(pin, 'guard_egress', (program) => program.attachTcx(name, 'egress', { first: true }));
  });
  for (const pin of gone) kernel.drop(pin);
  return errors;
}

/**
 * Takes the clsact guards of whoever used these pins from the calling thread's namespace; returns from how many interfaces. Those of
 * tcx are links: they go with their pins.
 */
export function unguardNamespace(pinDir: string): number {
  let count = 0;
  const errors = eachInterface((name) => {
    if (unguardByClsact(pinDir, name)) count++;
  });
  if (errors.length > 0) throw errors[0];
  return count;
}

/** Guards that nothing leads to (a namespace that only a descriptor holds) judge nobody any more. For pins that are about to go. */
export function openGuards(pinDir: string): void {
  const pin = join(pinDir, 'maps', 'ident_cfg');
  if (!existsSync(pin)) return;
  try {
    const map = BpfMap.openPinned(pin, mapCodecs.ident_cfg);
    new IdentityWords({ ident_cfg: map }).clear();
    map.close();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // the map of another version
  }
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

/** In the calling thread's namespace; what failed, unless the interface is gone. */
function eachInterface(act: (name: string) => void): Error[] {
  const errors: Error[] = [];
  for (const name of readdirSync('/proc/sys/net/ipv4/conf')) {
    if (name === 'all' || name === 'default') continue;
    try {
      act(name);
    } catch (error) {
      if ((error as { code?: string }).code !== 'ENODEV') errors.push(error as Error);
    }
  }
  return errors;
}
