import type { DatapathMaps } from './maps.ts';
import { type IdentCfg, identCfgCodec } from './postern.skel.ts';

/** Numbers of 32 bits in one place: the identity in 64, its word in 64. */
const STEP = 4;

/**
 * The word of each enforced identity that every hook reads: `ident_cfg`, an array by the low 16 bits of the number, in
 * memory that is shared with the kernel. A word is written by one store, and never read half.
 */
export class IdentityWords {
  readonly places: number;
  readonly #halves: Uint32Array;
  readonly #wholes: BigUint64Array;
  readonly #view: DataView;

  constructor(maps: Pick<DatapathMaps, 'ident_cfg'>) {
    this.places = maps.ident_cfg.maxEntries;
    const memory = maps.ident_cfg.mmap();
    this.#halves = new Uint32Array(memory);
    this.#wholes = new BigUint64Array(memory);
    this.#view = new DataView(memory);
  }

  /** Who else has the place that this identity needs; undefined = it is free, or its own. */
  holder(identity: number): number | undefined {
    const held = this.#held(this.#place(identity));
    return held === identity ? undefined : held;
  }

  /** undefined = not enforced. */
  get(identity: number): IdentCfg | undefined {
    const place = this.#place(identity);
    return this.#held(place) === identity ? this.#word(place) : undefined;
  }

  /** Takes the place from whoever has it. */
  set(identity: number, word: IdentCfg): void {
    const place = this.#place(identity);
    if (this.#halves[place * STEP] !== identity) {
      this.#wholes[2 * place + 1] = 0n;
      this.#wholes[2 * place] = BigInt(identity);
    }
    Atomics.store(this.#wholes, 2 * place + 1, wholeOf(word));
  }

  /** The identity is not enforced any more. */
  delete(identity: number): void {
    const place = this.#place(identity);
    if (this.#held(place) === identity) Atomics.store(this.#wholes, 2 * place + 1, 0n);
  }

  clear(): void {
    this.#wholes.fill(0n);
  }

  *entries(): Generator<[number, IdentCfg]> {
    for (let place = 0; place < this.places; place++) {
      const identity = this.#held(place);
      if (identity !== undefined) yield [identity, this.#word(place)];
    }
  }

  get size(): number {
    let size = 0;
    for (let place = 0; place < this.places; place++) if (this.#held(place) !== undefined) size++;
    return size;
  }

  #place(identity: number): number {
    return identity & (this.places - 1);
  }

  #held(place: number): number | undefined {
    const at = place * STEP;
    return this.#halves[at + 2] === 0 && this.#halves[at + 3] === 0 ? undefined : this.#halves[at];
  }

  #word(place: number): IdentCfg {
    return identCfgCodec.decode(this.#view, place * STEP * 4 + 8);
  }
}

const scratch = new DataView(new ArrayBuffer(8));
const whole = new BigUint64Array(scratch.buffer);

function wholeOf(word: IdentCfg): bigint {
  identCfgCodec.encode(scratch, 0, word);
  return whole[0]!;
}
