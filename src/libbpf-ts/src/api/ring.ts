/**
 * The arithmetic of a BPF ring buffer (kernel/bpf/ringbuf.c) over any two buffers: testable without a kernel.
 * Producer pages are mapped twice in a row, so a record never wraps. Header word: bit 31 busy, bit 30 discarded,
 * low 30 bits length; records are padded to 8 bytes. Positions only grow and are exact below 2^53.
 */

export type OnRecord = (view: DataView, offset: number, length: number) => void;

const DISCARDED = 0x4000_0000;
const LENGTH = 0x3fff_ffff;
const HEADER_SIZE = 8;

export class Ring {
  readonly size: number;
  readonly #consumer: BigUint64Array;
  readonly #producer: BigUint64Array;
  readonly #headers: Int32Array;
  readonly #view: DataView;
  #position: number;
  #closed = false;
  #consuming = false;

  /**
   * `consumer`: one page, starts with the consumer position. `producer`: one page that starts with the producer
   * position, then 2 * size bytes of records. `size` is a power of two.
   */
  constructor(consumer: ArrayBufferLike, producer: ArrayBufferLike, size: number, pageSize: number) {
    this.size = size;
    this.#consumer = new BigUint64Array(consumer, 0, 1);
    this.#producer = new BigUint64Array(producer, 0, 1);
    this.#headers = new Int32Array(producer, pageSize, (2 * size) / 4);
    this.#view = new DataView(producer, pageSize, 2 * size);
    // Kept by the kernel: a new process continues where the last one stopped.
    this.#position = Number(Atomics.load(this.#consumer, 0));
  }

  /** Bytes written and not yet consumed, headers included. */
  get lag(): number {
    return this.#closed ? 0 : Number(Atomics.load(this.#producer, 0)) - this.#position;
  }

  /**
   * Hands up to `max` records to `onRecord`; returns how many. The view is the ring itself: valid only during the call,
   * and read-only memory. If `onRecord` throws, its record counts as consumed. Space is given back while draining, not
   * only at the end.
   */
  consume(onRecord: OnRecord, max = Number.POSITIVE_INFINITY): number {
    if (this.#closed || this.#consuming) return 0;
    this.#consuming = true;
    const headers = this.#headers;
    const view = this.#view;
    const mask = this.size - 1;
    let at = this.#position % this.size;
    let left = this.lag;
    let unpublished = 0;
    let records = 0;
    try {
      while (records < max) {
        if (left === 0) left = this.lag;
        if (left === 0) break;
        const header = Atomics.load(headers, at >> 2);
        // Busy: its producer has not submitted it yet; later records wait, the order is the ring's.
        if (header < 0) break;
        const length = header & LENGTH;
        const step = (length + HEADER_SIZE + 7) & ~7;
        const content = at + HEADER_SIZE;
        at = (at + step) & mask;
        left -= step;
        unpublished += step;
        this.#position += step;
        if ((header & DISCARDED) === 0) {
          records++;
          onRecord(view, content, length);
          if (this.#closed) return records;
        }
        if (unpublished >= this.size / 8) {
          this.#publish();
          unpublished = 0;
        }
      }
    } finally {
      this.#consuming = false;
      if (!this.#closed && unpublished > 0) this.#publish();
    }
    return records;
  }

  /** Before the memory goes away; publishes the position. */
  close(): void {
    if (this.#closed) return;
    this.#publish();
    this.#closed = true;
  }

  /** The kernel may overwrite everything before this position. */
  #publish(): void {
    Atomics.store(this.#consumer, 0, BigInt(this.#position));
  }
}
