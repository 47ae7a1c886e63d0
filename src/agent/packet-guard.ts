import { readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { inNetns } from 'libbpf-ts';
import type { Kernel } from '../datapath/kernel.ts';
import { guardCgroup, guardNamespace } from '../datapath/packet-guard.ts';
import type { NetworkNamespaces } from './network-namespaces.ts';

const CAP_NET_RAW = 1n << 13n;

/**
 * Puts the guard where it is needed: at the interfaces of each network namespace in which a workload with an enforced egress
 * holds CAP_NET_RAW, and at that workload's cgroup. It stays until `agent detach`.
 */
export class PacketGuard {
  readonly #kernel: Kernel;
  readonly #netns: NetworkNamespaces;
  readonly #cgroupMount: string;
  readonly #isEnforced: (identity: number) => boolean;
  readonly #looked = new Map<number, number>();
  readonly #guarded = new Set<string>();
  readonly #log: (line: string) => void;
  #isTold = false;

  constructor(
    kernel: Kernel,
    netns: NetworkNamespaces,
    cgroupMount: string,
    isEnforced: (identity: number) => boolean,
    log: (line: string) => void,
  ) {
    this.#log = log;
    this.#kernel = kernel;
    this.#netns = netns;
    this.#cgroupMount = cgroupMount;
    this.#isEnforced = isEnforced;
  }

  /** A program began: it may hold what the one before did not. */
  exec(pid: number, identity: number): void {
    this.#look(pid, identity);
  }

  /** Every labelled process that was not looked at, and interfaces that are new. */
  look(): void {
    const running = new Set<number>();
    for (const [pid, { identity }] of this.#kernel.maps.proc.entries()) {
      running.add(pid);
      if (identity !== 0 && this.#looked.get(pid) !== identity) this.#look(pid, identity);
    }
    for (const pid of this.#looked.keys()) if (!running.has(pid)) this.#looked.delete(pid);
    if (this.#guarded.size > 0)
      this.#netns.each((inode) => {
        if (this.#guarded.has(inode)) this.#try(() => guardNamespace(this.#kernel, digitsOf(inode)));
      });
  }

  #look(pid: number, identity: number): void {
    if (identity === 0 || !this.#isEnforced(identity)) return;
    this.#looked.set(pid, identity);
    const held = heldBy(pid);
    if (held === undefined) return;
    this.#try(() => guardCgroup(this.#kernel, join(this.#cgroupMount, held.cgroup)));
    if (this.#guarded.has(held.netns)) return;
    this.#guarded.add(held.netns);
    this.#try(() => inNetns(`/proc/${pid}/ns/net`, () => guardNamespace(this.#kernel, digitsOf(held.netns))));
  }

  #try(attach: () => void): void {
    try {
      attach();
    } catch (error) {
      if ((error as { code?: string }).code === 'ENOENT') return; // the process, its cgroup or the interface is gone
      if (!this.#isTold) this.#log(`frames of packet sockets are not judged: ${(error as Error).message}`);
      this.#isTold = true;
    }
  }
}

/** Where a process is that may open packet sockets; undefined for others. */
function heldBy(pid: number): { readonly netns: string; readonly cgroup: string } | undefined {
  try {
    const [, capabilities] = /^CapPrm:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!;
    if ((BigInt(`0x${capabilities}`) & CAP_NET_RAW) === 0n) return undefined;
    const [, cgroup] = /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))!;
    return { netns: readlinkSync(`/proc/${pid}/ns/net`), cgroup: cgroup! };
  } catch {
    return undefined; // ended
  }
}

function digitsOf(inode: string): string {
  return inode.replace(/\D/g, '');
}
