import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inNetns, netnsCookie } from 'libbpf-ts/net';
import type { Kernel } from '../datapath/kernel.ts';
import {
  dropDangling,
  type GuardHook,
  guardCgroup,
  guardHook,
  guardNamespace,
  openGuards,
  unguardNamespace,
} from '../datapath/packet-guard.ts';
import { type NetworkNamespaces, visitNamespaces } from './network-namespaces.ts';

const CAP_NET_RAW = 1n << 13n;
/** What /proc/PID and cgroupfs answer of what ends while it is looked at. */
const GONE = new Set(['ENOENT', 'EACCES', 'ESRCH', 'ENODEV']);

/**
 * Puts the guard where it is needed: at the interfaces of each network namespace in which a workload with an enforced egress
 * holds CAP_NET_RAW, and at that workload's cgroup. It stays until `agent detach`.
 *
 * A namespace is known by its cookie, read inside: a process moves to another one between its exec and the next (nsenter),
 * and the inodes of namespaces are used again.
 */
export class PacketGuard {
  readonly #kernel: Kernel;
  readonly #netns: NetworkNamespaces;
  readonly #cgroupMount: string;
  readonly #isEnforced: (identity: number) => boolean;
  readonly #looked = new Map<number, number>();
  readonly #guarded = new Set<number>();
  readonly #log: (line: string) => void;
  readonly #hook: GuardHook;
  #problem: string | undefined;
  #told: string | undefined;

  constructor(
    kernel: Kernel,
    netns: NetworkNamespaces,
    cgroupMount: string,
    isEnforced: (identity: number) => boolean,
    log: (line: string) => void,
    hook: GuardHook = guardHook(),
  ) {
    this.#log = log;
    this.#hook = hook;
    this.#kernel = kernel;
    this.#netns = netns;
    this.#cgroupMount = cgroupMount;
    this.#isEnforced = isEnforced;
  }

  /** Why frames were not judged where they should be, since the last look began; undefined = they were. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** A program began: it may hold what the one before did not. */
  exec(pid: number, identity: number): void {
    this.#look(pid, identity);
  }

  /** Every labelled process that was not looked at, interfaces that are new, and what failed before. */
  look(): void {
    this.#problem = undefined;
    const running = new Set<number>();
    for (const [pid, { identity }] of this.#kernel.maps.proc.entries()) {
      running.add(pid);
      if (identity !== 0 && this.#looked.get(pid) !== identity) this.#look(pid, identity);
    }
    for (const pid of this.#looked.keys()) if (!running.has(pid)) this.#looked.delete(pid);
    if (this.#guarded.size > 0)
      this.#netns.each((cookie) => {
        if (this.#guarded.has(cookie)) this.#try(() => guardNamespace(this.#kernel, cookie, this.#hook));
      });
    this.#try(() => dropDangling(this.#kernel));
    if (this.#problem === undefined) this.#told = undefined;
  }

  #look(pid: number, identity: number): void {
    if (identity === 0 || !this.#isEnforced(identity)) return;
    this.#looked.set(pid, identity);
    const cgroup = cgroupOfHolder(pid);
    if (cgroup === undefined) return;
    const cgroupDone = this.#try(() => guardCgroup(this.#kernel, join(this.#cgroupMount, cgroup)));
    const namespaceDone = this.#try(() =>
      inNetns(`/proc/${pid}/ns/net`, () => {
        const cookie = netnsCookie();
        if (this.#guarded.has(cookie)) return;
        this.#guarded.add(cookie);
        guardNamespace(this.#kernel, cookie, this.#hook);
      }),
    );
    if (!cgroupDone || !namespaceDone) this.#looked.delete(pid);
  }

  /** False: it failed, and what it was for is still there. */
  #try(attach: () => void): boolean {
    try {
      attach();
      return true;
    } catch (error) {
      if (GONE.has((error as { code?: string }).code ?? '')) return true;
      const { message } = error as Error;
      if (this.#problem === undefined && message !== this.#told) {
        this.#log(`frames of packet sockets are not judged: ${message}`);
        this.#told = message;
      }
      this.#problem ??= message;
      return false;
    }
  }
}

/**
 * Opens the guards that an agent with these pins put at interfaces, and takes away those that do not go with their pins, in every
 * namespace that a process or a mount leads to; without an agent. Returns from how many interfaces.
 */
export function releasePacketGuards(pinDir: string): number {
  openGuards(pinDir);
  let count = 0;
  visitNamespaces(() => {
    count += unguardNamespace(pinDir);
  });
  return count;
}

/** The cgroup of a process that may open packet sockets; undefined for others. */
function cgroupOfHolder(pid: number): string | undefined {
  try {
    const [, capabilities] = /^CapPrm:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!;
    if ((BigInt(`0x${capabilities}`) & CAP_NET_RAW) === 0n) return undefined;
    return /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1];
  } catch {
    return undefined; // ended
  }
}
