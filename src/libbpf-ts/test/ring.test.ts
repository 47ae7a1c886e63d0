import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Ring } from '../src/index.ts';

const PAGE = 4096;
const SIZE = 4096;
const BUSY = 0x8000_0000;
const DISCARDED = 0x4000_0000;

/** The kernel's side: reserve writes the header busy, commit clears it; the record area is mapped twice in a row. */
class Producer {
  readonly consumer = new ArrayBuffer(PAGE);
  readonly producer = new ArrayBuffer(PAGE + 2 * SIZE);
  readonly #view = new DataView(this.producer);
  #position = 0n;

  get free(): number {
    return SIZE - Number(this.#position - new DataView(this.consumer).getBigUint64(0, true));
  }

  ring(): Ring {
    return new Ring(this.consumer, this.producer, SIZE, PAGE);
  }

  /** Returns the header's offset, undefined when full. */
  reserve(content: Uint8Array): number | undefined {
    const space = (content.length + 8 + 7) & ~7;
    if (space > this.free) return undefined;
    const at = Number(this.#position % BigInt(SIZE));
    for (const [index, byte] of content.entries())
      this.#both(at + 8 + index, (offset) => this.#view.setUint8(offset, byte));
    this.#header(at, (content.length | BUSY) >>> 0);
    this.#position += BigInt(space);
    this.#view.setBigUint64(0, this.#position, true);
    return at;
  }

  commit(at: number, flags = 0): void {
    const length = this.#view.getUint32(PAGE + at, true) & 0x3fff_ffff;
    this.#header(at, (length | flags) >>> 0);
  }

  #header(at: number, word: number): void {
    this.#both(at, (offset) => this.#view.setUint32(offset, word, true));
  }

  #both(at: number, write: (offset: number) => void): void {
    write(PAGE + (at % SIZE));
    write(PAGE + (at % SIZE) + SIZE);
  }
}

/** Writes past the first half of the double mapping continue in the second: copies of one record's bytes. */
function copy(view: DataView, offset: number, length: number): string {
  return Buffer.from(view.buffer, view.byteOffset + offset, length).toString('hex');
}

test('records come out in order and unchanged, over any number of wraps', () => {
  const record = fc.uint8Array({ minLength: 1, maxLength: 300 });
  fc.assert(
    fc.property(fc.array(fc.tuple(record, fc.boolean(), fc.nat(4)), { maxLength: 120 }), (records) => {
      const kernel = new Producer();
      const ring = kernel.ring();
      const wanted: string[] = [];
      const got: string[] = [];
      const take = (max?: number): number => ring.consume((...at) => got.push(copy(...at)), max);
      for (const [content, discard, max] of records) {
        let at = kernel.reserve(content);
        if (at === undefined) {
          take();
          at = kernel.reserve(content);
        }
        assert.type(at, 'number');
        kernel.commit(at ?? 0, discard ? DISCARDED : 0);
        if (!discard) wanted.push(Buffer.from(content).toString('hex'));
        if (max > 0) take(max);
      }
      take();
      assert.equal(got, wanted);
      assert.is(ring.lag, 0);
      assert.is(kernel.free, SIZE);
    }),
  );
});
test('a busy record holds back what follows', () => {
  const kernel = new Producer();
  const ring = kernel.ring();
  const first = kernel.reserve(Uint8Array.of(1)) ?? -1;
  kernel.commit(kernel.reserve(Uint8Array.of(2)) ?? -1);
  const got: string[] = [];
  assert.is(
    ring.consume((...at) => got.push(copy(...at))),
    0,
  );
  assert.is(ring.lag, 32);
  kernel.commit(first);
  assert.is(
    ring.consume((...at) => got.push(copy(...at))),
    2,
  );
  assert.equal(got, ['01', '02']);
});
test('a record whose handler throws counts as consumed', () => {
  const kernel = new Producer();
  const ring = kernel.ring();
  for (const byte of [1, 2]) kernel.commit(kernel.reserve(Uint8Array.of(byte)) ?? -1);
  const got: string[] = [];
  assert.throws(
    () =>
      ring.consume(() => {
        throw new Error('handler');
      }),
    /handler/,
  );
  assert.is(
    ring.consume((...at) => got.push(copy(...at))),
    1,
  );
  assert.equal(got, ['02']);
});
test('space is given back while draining', () => {
  const kernel = new Producer();
  const ring = kernel.ring();
  while (true) {
    const at = kernel.reserve(new Uint8Array(120));
    if (at === undefined) break;
    kernel.commit(at);
  }
  let most = 0;
  ring.consume(() => {
    most = Math.max(most, kernel.free);
  });
  assert.ok(most > SIZE / 2, `at most ${most} bytes were free before the end`);
});
test('a new consumer continues where the last one stopped', () => {
  const kernel = new Producer();
  for (const byte of [1, 2, 3]) kernel.commit(kernel.reserve(Uint8Array.of(byte)) ?? -1);
  const first = kernel.ring();
  first.consume(() => {}, 2);
  first.close();
  const got: string[] = [];
  kernel.ring().consume((...at) => got.push(copy(...at)));
  assert.equal(got, ['03']);
});
test('closing or consuming inside the handler is safe', () => {
  const kernel = new Producer();
  for (const byte of [1, 2]) kernel.commit(kernel.reserve(Uint8Array.of(byte)) ?? -1);
  const ring = kernel.ring();
  const count = ring.consume(() => {
    assert.is(
      ring.consume(() => {}),
      0,
    );
    ring.close();
  });
  assert.is(count, 1);
  assert.is(ring.lag, 0);
  assert.is(
    ring.consume(() => {}),
    0,
  );
});

test.run();
