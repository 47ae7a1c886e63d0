import { parsePrefix } from '../core/cidr.ts';
import type { DatapathMaps } from './maps.ts';

export interface AddressIdentity {
  readonly prefix: string;
  readonly identity: number;
}

/** The kernel's `slot` is a byte, of which two are in use at most: at a flip, or after a run that was killed in one. */
const SLOTS = [0, 1, 2];

/**
 * Address → identity in slots. A change of the set fills a free slot; the flip of each identity's `ip_slot` makes it
 * see the new set together with its new policy, so that no verdict mixes two revisions. A slot that some identity still
 * reads is never touched.
 */
export class AddressSlots {
  readonly #maps: DatapathMaps;
  #content = new Map<string, number>();
  readonly #readBy: () => Iterable<number>;
  #active: number;
  /** What #content was made from; empty = not known. */
  #wanted: readonly AddressIdentity[] = [];
  #idleHolds = true;

  /** @param readBy slots that identities read now */
  constructor(maps: DatapathMaps, readBy: () => Iterable<number>) {
    this.#maps = maps;
    this.#readBy = readBy;
    this.#active = maps.config.get(0)?.ip_slot ?? 0;
    for (const [key, identity] of maps.ip_cidr.entriesBatch())
      if (key.slot === this.#active) this.#content.set(keyText(key.prefixlen, key.addr), identity);
    for (const [key, identity] of maps.ip_host.entriesBatch())
      if (key.slot === this.#active) this.#content.set(keyText(136, key.addr), identity);
  }

  get active(): number {
    return this.#active;
  }

  get size(): number {
    return this.#content.size;
  }

  /** Fills a free slot if `wanted` differs. Returns the slot to flip to, or undefined when nothing changes. */
  prepare(wanted: readonly AddressIdentity[]): number | undefined {
    if (isSame(wanted, this.#wanted)) return undefined;
    const entries = wanted.map(toEntry);
    if (entries.length === this.#content.size && entries.every((e) => this.#content.get(e.text) === e.identity)) {
      this.#wanted = wanted;
      return undefined;
    }
    this.#wanted = [];
    this.sweep();
    const used = this.#used();
    const idle = SLOTS.find((slot) => !used.has(slot))!;
    this.#idleHolds = true;
    const pad = new Uint8Array(3);
    this.#maps.ip_host.updateBatch(
      entries.filter((e) => e.prefixlen === 136).map((e) => [{ addr: e.addr, slot: idle }, e.identity] as const),
    );
    this.#maps.ip_cidr.updateBatch(
      entries
        .filter((e) => e.prefixlen < 136)
        .map((e) => [{ prefixlen: e.prefixlen, slot: idle, addr: e.addr, pad }, e.identity] as const),
    );
    this.#content = new Map(entries.map((e) => [e.text, e.identity]));
    this.#wanted = wanted;
    return idle;
  }

  /** Identities that are not enforced read this one. */
  flip(slot: number): void {
    const config = this.#maps.config.get(0)!;
    this.#maps.config.set(0, { ...config, ip_slot: slot });
    this.#active = slot;
    this.#idleHolds = true;
  }

  /** Empties the slots that no identity reads any more. */
  sweep(): void {
    if (!this.#idleHolds) return;
    const used = this.#used();
    const isUnused = ({ slot }: { slot: number }): boolean => !used.has(slot);
    const { ip_cidr, ip_host } = this.#maps;
    // By batches also what only the keys are needed of: ten thousand single steps take 40 ms.
    ip_cidr.deleteBatch([...ip_cidr.entriesBatch()].map(([key]) => key).filter(isUnused));
    ip_host.deleteBatch([...ip_host.entriesBatch()].map(([key]) => key).filter(isUnused));
    this.#idleHolds = used.size > 1;
  }

  #used(): Set<number> {
    return new Set([this.#active, ...this.#readBy()]);
  }
}

interface Entry {
  readonly text: string;
  readonly prefixlen: number;
  readonly addr: Uint8Array;
  readonly identity: number;
}

function isSame(a: readonly AddressIdentity[], b: readonly AddressIdentity[]): boolean {
  if (a === b) return a.length > 0;
  return (
    a.length > 0 &&
    a.length === b.length &&
    a.every((e, i) => e.prefix === b[i]!.prefix && e.identity === b[i]!.identity)
  );
}

/** Single addresses go to the hash, which is several times faster at size. */
function toEntry({ prefix, identity }: AddressIdentity): Entry {
  const parsed = parsePrefix(prefix, { bare: true });
  if (parsed === undefined) throw new Error(`"${prefix}" is not a prefix`);
  const bits = parsed.family === 4 ? 96 + parsed.length : parsed.length;
  return { text: keyText(8 + bits, parsed.bytes), prefixlen: 8 + bits, addr: parsed.bytes, identity };
}

function keyText(prefixlen: number, addr: Uint8Array): string {
  return `${prefixlen}:${Buffer.from(addr).toString('hex')}`;
}
