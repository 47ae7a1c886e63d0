import { readdirSync, readlinkSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { inNetns } from 'libbpf-ts';
import { parseAddress } from '../core/cidr.ts';
import type { Kernel } from '../datapath/kernel.ts';

/** More than these are not looked at: each costs some system calls per look. */
const MAX_NAMESPACES = 256;
/** What /proc/PID/ns/net answers when the process ends meanwhile (proc_ns_get_link). */
const GONE = new Set(['ENOENT', 'EACCES', 'ESRCH']);

/**
 * Network namespaces with processes in them: their own addresses go into `own_addr` (an address of this host is never
 * "world"), and iterators over connections must run in each of them.
 */
export class NetworkNamespaces {
  readonly #kernel: Kernel;
  /** Inode → a /proc path that leads to it. */
  #paths = new Map<string, string>();
  readonly #cookies = new Map<string, number>();
  #entered = new Map<string, readonly [cookie: number, address: Uint8Array]>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** Finds the namespaces anew and brings `own_addr` up to date. */
  refresh(): void {
    this.#paths = findNamespaces();
    const wanted = new Map<string, readonly [number, Uint8Array]>();
    this.each((inode) => {
      const cookie = this.#cookie(inode);
      for (const addresses of Object.values(networkInterfaces()))
        for (const { address } of addresses ?? []) {
          const bytes = parseAddress(address.replace(/%.*$/, ''));
          if (bytes !== undefined) wanted.set(`${cookie} ${address}`, [cookie, bytes]);
        }
    });
    const { own_addr } = this.#kernel.maps;
    for (const [key, [netns, addr]] of wanted) if (!this.#entered.has(key)) own_addr.set({ netns, addr }, 1);
    for (const [key, [netns, addr]] of this.#entered) if (!wanted.has(key)) own_addr.delete({ netns, addr });
    this.#entered = wanted;
  }

  /** Addresses of the agent's own namespace, without loopback and link-local. */
  hostAddresses(): string[] {
    return Object.values(networkInterfaces()).flatMap((list) =>
      (list ?? [])
        .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
        .map(({ address }) => address),
    );
  }

  /** Runs `visit` in each namespace, the agent's own first. A namespace that is gone meanwhile is passed over. */
  each(visit: (inode: string) => void): void {
    const own = readlinkSync('/proc/thread-self/ns/net');
    visit(own);
    for (const [inode, path] of this.#paths) {
      if (inode === own) continue;
      try {
        inNetns(path, () => visit(inode));
      } catch (error) {
        if (!GONE.has((error as { code?: string }).code ?? '')) throw error;
      }
    }
  }

  /** Of the namespace in which the calling thread is. */
  #cookie(inode: string): number {
    const known = this.#cookies.get(inode);
    if (known !== undefined) return known;
    this.#kernel.iterate('host_root');
    const cookie = this.#kernel.maps.config.get(0)!.netns;
    this.#cookies.set(inode, cookie);
    return cookie;
  }
}

function findNamespaces(): Map<string, string> {
  const paths = new Map<string, string>();
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const path = `/proc/${pid}/ns/net`;
      const inode = readlinkSync(path);
      if (!paths.has(inode)) paths.set(inode, path);
      if (paths.size >= MAX_NAMESPACES) break;
    } catch {
      // ended, or a kernel thread
    }
  }
  return paths;
}
