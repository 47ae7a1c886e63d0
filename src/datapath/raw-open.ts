import type { Opens } from '../core/opens.ts';
import type { DatapathMaps } from './maps.ts';

/** enum open_flag of bpf/abi.h. */
const FLAGS = { icmp: 1, mptcp: 2, udplite: 4, tun: 16, packet: 32 } as const;
const OPEN_RAW = 8;
const OPEN_SOCKETS = 64;

export function openFlags({ names, raw, sockets }: Opens): number {
  let flags = (raw.length > 0 ? OPEN_RAW : 0) | (sockets ? OPEN_SOCKETS : 0);
  for (const name of names) flags |= FLAGS[name];
  return flags;
}

/** `raw_open`: identity → protocols of raw sockets that it may open. */
export class RawOpen {
  readonly #maps: DatapathMaps;
  readonly #protocols = new Map<number, ReadonlySet<number>>();

  constructor(maps: DatapathMaps) {
    this.#maps = maps;
    for (const { identity, protocol } of maps.raw_open.keys())
      this.#protocols.set(identity, new Set([...this.#of(identity), protocol]));
  }

  /** Entries that there would be. */
  room(wanted: ReadonlyMap<number, readonly number[]>): { readonly wanted: number; readonly limit: number } {
    let count = 0;
    for (const [identity, protocols] of this.#protocols) if (!wanted.has(identity)) count += protocols.size;
    for (const [identity, protocols] of wanted) count += new Set([...this.#of(identity), ...protocols]).size;
    return { wanted: count, limit: this.#maps.raw_open.maxEntries };
  }

  isSame(identity: number, protocols: readonly number[]): boolean {
    const now = this.#of(identity);
    return now.size === protocols.length && protocols.every((protocol) => now.has(protocol));
  }

  /** Before the flip. */
  add(identity: number, protocols: readonly number[]): void {
    for (const protocol of protocols) this.#maps.raw_open.set({ identity, protocol }, 1);
    if (protocols.length > 0) this.#protocols.set(identity, new Set([...this.#of(identity), ...protocols]));
  }

  /** After it. */
  keepOnly(identity: number, protocols: readonly number[]): void {
    for (const protocol of this.#of(identity))
      if (!protocols.includes(protocol)) this.#maps.raw_open.delete({ identity, protocol });
    if (protocols.length === 0) this.#protocols.delete(identity);
    else this.#protocols.set(identity, new Set(protocols));
  }

  #of(identity: number): ReadonlySet<number> {
    return this.#protocols.get(identity) ?? new Set();
  }
}
