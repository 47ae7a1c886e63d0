import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { inNetns, netnsCookie } from 'libbpf-ts/net';
import { parseAddress } from '../core/cidr.ts';
import type { Kernel } from '../datapath/kernel.ts';
import { runAtOnce, type Steps } from './steps.ts';

/** More than these are not looked at: each costs some system calls per look. */
const MAX_NAMESPACES = 256;
/**
 * Addresses of a namespace other than the agent's own; further ones count as outside, in there. Whoever may make user namespaces
 * can have any number, and must not leave the host's without a place. All others together have half of the map.
 */
const MAX_ADDRESSES = 64;
/** What /proc/PID/ns/net answers when the process ends meanwhile (proc_ns_get_link); EINVAL: a mount that something else covers. */
const GONE = new Set(['ENOENT', 'EACCES', 'ESRCH', 'EINVAL']);

/**
 * Network namespaces with processes in them: their own addresses go into `own_addr` (an address of this host is never
 * "world"), and iterators over connections must run in each of them.
 */
export class NetworkNamespaces {
  readonly #kernel: Kernel;
  /** /proc paths that led to them, one each. */
  #paths: readonly string[] = [];
  #entered = new Map<string, readonly [cookie: number, address: Uint8Array]>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** Finds the namespaces anew and brings `own_addr` up to date. */
  refresh(): void {
    this.#paths = findNamespaces();
    const { own_addr } = this.#kernel.maps;
    const wanted = new Map<string, readonly [number, Uint8Array]>();
    const own = netnsCookie();
    let room = own_addr.maxEntries / 2;
    this.each((cookie) => {
      let left = cookie === own ? own_addr.maxEntries : Math.min(MAX_ADDRESSES, room);
      for (const { address } of Object.values(networkInterfaces()).flatMap((list) => list ?? [])) {
        const bytes = parseAddress(address.replace(/%.*$/, ''));
        if (bytes === undefined || left-- <= 0) continue;
        wanted.set(`${cookie} ${address}`, [cookie, bytes]);
        if (cookie !== own) room--;
      }
    });
    for (const [key, [netns, addr]] of this.#entered) if (!wanted.has(key)) own_addr.delete({ netns, addr });
    for (const [key, [netns, addr]] of wanted) if (!this.#entered.has(key)) own_addr.set({ netns, addr }, 1);
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

  /**
   * Runs `visit` in each namespace, once, the agent's own first. A namespace that is gone meanwhile is passed over. Where it is
   * says the cookie, read inside: a process may have gone elsewhere since it was looked at, and inodes are used again.
   */
  each(visit: (cookie: number) => void): void {
    visitEach(this.#paths, visit);
  }

  /** The same, each namespace a step. */
  eachInSteps(visit: (cookie: number) => void): Steps<void> {
    return visitSteps(this.#paths, visit);
  }

  /** The namespaces in which these processes are. */
  of(pids: Iterable<number>, visit: (cookie: number) => void): void {
    const paths = new Map<string, string>();
    for (const pid of pids) addNamespace(paths, String(pid));
    const own = readlinkSync('/proc/self/ns/net');
    if (paths.delete(own)) visit(netnsCookie());
    for (const _ of enterEach([...paths.values()], visit, new Set([netnsCookie()])));
  }
}

/** The same over all that have a process or a mount now. */
export function visitNamespaces(visit: (cookie: number) => void): void {
  visitEach([...findNamespaces(Infinity), ...mountedNamespaces('self'), ...mountedNamespaces('1')], visit);
}

function visitEach(paths: readonly string[], visit: (cookie: number) => void): void {
  runAtOnce(visitSteps(paths, visit));
}

function* visitSteps(paths: readonly string[], visit: (cookie: number) => void): Steps<void> {
  const own = netnsCookie();
  visit(own);
  yield;
  yield* enterEach(paths, visit, new Set([own]));
}

function* enterEach(paths: readonly string[], visit: (cookie: number) => void, visited: Set<number>): Steps<void> {
  for (const path of paths) {
    try {
      inNetns(path, () => {
        const cookie = netnsCookie();
        if (!visited.has(cookie)) visit(cookie);
        visited.add(cookie);
      });
    } catch (error) {
      if (!GONE.has((error as { code?: string }).code ?? '')) throw error;
    }
    yield;
  }
}

function findNamespaces(most = MAX_NAMESPACES): string[] {
  const paths = new Map<string, string>();
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    addNamespace(paths, pid);
    if (paths.size >= most) break;
  }
  return [...paths.values()];
}

/** Where namespaces are mounted, as `ip netns` and container runtimes do, seen by that process: they outlive their processes. */
function mountedNamespaces(pid: string): string[] {
  // proc(5): … root, mount point, options … - type
  const mounts = readFileSync(`/proc/${pid}/mountinfo`, 'utf8').matchAll(/^\S+ \S+ \S+ net:\[\d+\] (\S+) .*- nsfs /gm);
  const plain = (path: string): string =>
    path.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)));
  return [...mounts].map(([, path]) => `/proc/${pid}/root${plain(path!)}`);
}

/** By what the link says, so that one path leads to each. */
function addNamespace(paths: Map<string, string>, pid: string): void {
  try {
    const path = `/proc/${pid}/ns/net`;
    const inode = readlinkSync(path);
    if (!paths.has(inode)) paths.set(inode, path);
  } catch {
    // ended, or a kernel thread
  }
}
