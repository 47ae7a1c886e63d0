/**
 * Consumer of a BPF_MAP_TYPE_RINGBUF map: zero-copy, on the event loop.
 * One consumer per ring: two steal each other's records. The ring must outlast the longest pause of the event loop
 * (100 ms at the expected rate); what does not fit is lost at the producer, which must count it.
 */
import { BpfError, EINVAL } from '../sys/error.ts';
import { Mapping, PAGE_SIZE } from '../sys/mapping.ts';
import { ReadableWatch } from '../sys/readable.ts';
import type { OnRecord } from './ring.ts';
import { Ring } from './ring.ts';

export interface RingBufferOptions {
  /** Records handled before other work of the event loop gets its turn. Default 20 000. */
  readonly budget?: number;
  /** After a wake-up drain by this timer while records keep coming: fewer wake-ups, that much latency. Default 0: off. */
  readonly coalesceMs?: number;
  /**
   * Also drain by a timer, for producers that submit with BPF_RB_NO_WAKEUP. A number is the longest pause when idle;
   * the pause starts at 1 ms and doubles while nothing comes.
   */
  readonly pollMs?: number;
  /** Gets what `onRecord` throws; draining goes on. Without it the error is thrown from a clean stack (uncaughtException). */
  readonly onError?: (error: unknown) => void;
}

export class RingBuffer implements Disposable {
  readonly #consumer: Mapping;
  readonly #producer: Mapping;
  readonly #ring: Ring;
  readonly #fd: number;
  readonly #onRecord: OnRecord;
  readonly #budget: number;
  readonly #coalesceMs: number;
  readonly #pollMs: number;
  readonly #onError: (error: unknown) => void;
  #watch: ReadableWatch | undefined;
  #drainTimer: NodeJS.Timeout | undefined;
  #drainSoon: NodeJS.Immediate | undefined;
  #pollTimer: NodeJS.Timeout | undefined;
  #pause = 1;
  #closed = false;

  /**
   * `onRecord(view, offset, length)` sees the ring's own memory: decode during the call, never write (SIGSEGV).
   * Nothing is consumed before `start()` or `consume()`. The map must stay open until `close()`.
   */
  constructor(
    map: { readonly fd: number; readonly maxEntries: number },
    onRecord: OnRecord,
    options: RingBufferOptions = {},
  ) {
    const { fd, maxEntries: size } = map;
    if (size < PAGE_SIZE || (size & (size - 1)) !== 0) throw new BpfError(`map ring of ${size} bytes`, EINVAL);
    this.#consumer = Mapping.open(fd, PAGE_SIZE, 'write', 0, 'consumer page of ring buffer');
    try {
      this.#producer = Mapping.open(fd, PAGE_SIZE + 2 * size, 'read', PAGE_SIZE, 'ring buffer');
    } catch (error) {
      this.#consumer.close();
      throw error;
    }
    this.#ring = new Ring(this.#consumer.buffer, this.#producer.buffer, size, PAGE_SIZE);
    this.#fd = fd;
    this.#onRecord = onRecord;
    this.#budget = options.budget ?? 20_000;
    this.#coalesceMs = options.coalesceMs ?? 0;
    this.#pollMs = options.pollMs ?? 0;
    this.#onError =
      options.onError ??
      ((error) => {
        setImmediate(() => {
          throw error;
        });
      });
  }

  /** Bytes waiting in the ring. */
  get lag(): number {
    return this.#ring.lag;
  }

  /** Bytes of the ring. */
  get size(): number {
    return this.#ring.size;
  }

  /** Consumes as records arrive; keeps the process alive until `stop()`. */
  start(): this {
    if (this.#closed) throw new Error('Ring buffer is closed');
    if (this.#watch !== undefined) return this;
    this.#watch = new ReadableWatch(this.#fd, () => this.#drain());
    this.#watch.arm();
    if (this.#pollMs > 0) this.#schedulePoll();
    return this;
  }

  /** Consumes now, up to `max` records; returns how many. Throws what `onRecord` throws. */
  consume(max?: number): number {
    return this.#ring.consume(this.#onRecord, max);
  }

  /** Ends what `start()` began. Records stay in the ring. */
  stop(): void {
    this.#watch?.close();
    this.#watch = undefined;
    clearTimeout(this.#drainTimer);
    clearTimeout(this.#pollTimer);
    clearImmediate(this.#drainSoon);
    this.#drainTimer = this.#drainSoon = this.#pollTimer = undefined;
    this.#pause = 1;
  }

  /** Stops and unmaps. Views of records are invalid from here on (Node >= 22: they throw). */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.stop();
    this.#ring.close();
    this.#consumer.close();
    this.#producer.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** One turn: never throws, never exceeds the budget. */
  #drain(): void {
    if (this.#watch === undefined) return;
    const consumed = this.#guarded();
    // `onRecord` may have called stop() or close().
    if (this.#watch === undefined) return;
    if (consumed >= this.#budget) {
      this.#watch.disarm();
      this.#drainSoon ??= setImmediate(() => {
        this.#drainSoon = undefined;
        this.#drain();
      });
    } else if (consumed > 0 && this.#coalesceMs > 0) {
      this.#watch.disarm();
      this.#drainTimer ??= setTimeout(() => {
        this.#drainTimer = undefined;
        this.#drain();
      }, this.#coalesceMs);
    } else this.#watch.arm();
  }

  #schedulePoll(): void {
    this.#pollTimer = setTimeout(() => {
      const consumed = this.#guarded();
      if (this.#watch === undefined) return;
      this.#pause = consumed > 0 ? 1 : Math.min(this.#pause * 2, this.#pollMs);
      if (consumed >= this.#budget) this.#drain();
      this.#schedulePoll();
    }, this.#pause);
  }

  /** Returns the budget after an error: records may be left, so come back soon. */
  #guarded(): number {
    try {
      return this.#ring.consume(this.#onRecord, this.#budget);
    } catch (error) {
      this.#onError(error);
      return this.#budget;
    }
  }
}
