import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Codec } from '../src/index.ts';
import { BpfMap, BpfObject, codec, RingBuffer, rawCodec } from '../src/index.ts';
import { compile, missing, privateBpffs, until } from './kernel.ts';

const test = suite('ring buffer');
const reason = missing();
if (reason !== undefined) console.log(`SKIP ring buffer: ${reason}`);
else define();
test.run();

interface Event {
  sequence: number;
  delta: number;
  kind: number;
  comm: string;
  address: Uint8Array;
  ports: number[];
  uid: number;
  last: boolean;
}

function define(): void {
  let object: BpfObject;
  let event: Codec<Event>;
  let got: number[];
  const take = (view: DataView, offset: number): void => {
    got.push(event.decode(view, offset).sequence);
  };
  const produce = (count: number, program = 'produce_wakeup'): number => {
    const dataIn = Buffer.alloc(64);
    dataIn.writeUInt32LE(count, 14);
    return object.program(program).testRun({ dataIn }).retval;
  };
  const upTo = (count: number, from = 0): number[] => Array.from({ length: count }, (_, index) => from + index);

  test.before.each(() => {
    object = BpfObject.open(compile('all')).load();
    event = codec<Event>(object.btf, 'event');
    got = [];
  });
  test.after.each(() => object.close());

  test('records arrive decoded and in order', async () => {
    const events: Event[] = [];
    const ring = new RingBuffer(object.map('events'), (view, offset, length) => {
      assert.is(length, event.size);
      events.push(event.decode(view, offset));
    }).start();
    assert.is(produce(3), 3);
    await until(() => events.length === 3);
    const [first, , last] = events;
    assert.equal(
      { ...first, address: [...(first?.address ?? [])] },
      {
        sequence: 0,
        delta: -5,
        kind: 2,
        comm: 'curl',
        address: [0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        ports: [443, 0],
        gid: 1000,
        uid: 1000,
        last: false,
      },
    );
    assert.ok(last?.last);
    ring.close();
  });
  test('many wake-ups over several wraps lose nothing while the ring has room', async () => {
    const ring = new RingBuffer(object.map('events'), take).start();
    for (let round = 1; round <= 30; round++) {
      assert.is(produce(100), 100);
      await until(() => got.length === round * 100);
    }
    assert.equal(got, upTo(3000));
    assert.is(object.bss.lost, 0);
    ring.close();
  });
  test('a full ring loses at the producer and keeps what it has', () => {
    const ring = new RingBuffer(object.map('events'), take);
    const fitted = produce(300);
    assert.ok(fitted > 200 && fitted < 300, `${fitted} records fitted`);
    assert.is(object.bss.lost, 300 - fitted);
    assert.is(ring.lag, fitted * 72);
    assert.is(ring.consume(), fitted);
    assert.is(ring.lag, 0);
    assert.is(produce(10), 10);
    assert.is(ring.consume(4), 4);
    assert.is(ring.consume(), 6);
    assert.equal(got, upTo(fitted + 10));
    ring.close();
  });
  test('records without a wake-up are found by polling', async () => {
    const ring = new RingBuffer(object.map('events'), take, { pollMs: 8 }).start();
    for (let round = 1; round <= 5; round++) {
      assert.is(produce(50, 'produce_quiet'), 50);
      await until(() => got.length === round * 50);
    }
    produce(5);
    await until(() => got.length === 255);
    assert.equal(got, upTo(255));
    ring.close();
  });
  test('a small budget and coalescing still deliver everything', async () => {
    for (const options of [{ budget: 7 }, { coalesceMs: 2 }, { budget: 7, coalesceMs: 2, pollMs: 4 }]) {
      const from = object.bss.produced;
      got = [];
      const ring = new RingBuffer(object.map('events'), take, options).start();
      produce(200);
      await until(() => got.length === 200);
      produce(20);
      await until(() => got.length === 220);
      assert.equal(got, upTo(220, from));
      ring.close();
    }
  });
  test('discarded records are skipped', () => {
    const ring = new RingBuffer(object.map('events'), take);
    produce(1);
    object.program('discard').testRun({ dataIn: Buffer.alloc(64) });
    produce(1);
    assert.is(ring.consume(), 2);
    assert.equal(got, [0, 1]);
    ring.close();
  });
  test('an error in the handler is reported once and the next record still comes', async () => {
    const errors: string[] = [];
    const ring = new RingBuffer(
      object.map('events'),
      (view, offset) => {
        take(view, offset);
        if (got.length === 2) throw new Error('second record');
      },
      { onError: (error) => errors.push(String(error)) },
    ).start();
    produce(4);
    await until(() => got.length === 4);
    assert.equal(errors, ['Error: second record']);
    ring.close();
  });
  test('without onError the error reaches uncaughtException and draining goes on', async () => {
    const errors: string[] = [];
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.once('uncaughtException', (error) => errors.push(error.message));
    const ring = new RingBuffer(object.map('events'), (view, offset) => {
      take(view, offset);
      if (got.length === 1) throw new Error('first record');
    }).start();
    produce(2);
    await until(() => got.length === 2 && errors.length === 1);
    assert.equal(errors, ['first record']);
    for (const listener of listeners) process.on('uncaughtException', listener);
    ring.close();
  });
  test('promises of the handler run', async () => {
    let jobs = 0;
    const ring = new RingBuffer(object.map('events'), () => {
      Promise.resolve().then(() => process.nextTick(() => jobs++));
    }).start();
    for (let count = 1; count <= 20; count++) {
      produce(1);
      await until(() => jobs === count);
    }
    ring.close();
  });
  test('a started ring lives without a reference to it', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const startUnreferenced = (): void => {
      const ring = new RingBuffer(object.map('events'), (view, offset) => {
        take(view, offset);
        if (got.length === 5) ring.close();
      }).start();
    };
    startUnreferenced();
    for (let round = 1; round <= 5; round++) {
      collect();
      produce(1);
      await until(() => got.length === round);
    }
  });
  test('closing and stopping inside the handler are safe', async () => {
    let calls = 0;
    const closing = new RingBuffer(object.map('events'), () => {
      calls++;
      closing.close();
    }).start();
    produce(3);
    await until(() => calls === 1);
    assert.is(closing.lag, 0);
    assert.is(closing.consume(), 0);
    assert.throws(() => closing.start(), /closed/);

    const stopping = new RingBuffer(object.map('events'), (view, offset) => {
      take(view, offset);
      stopping.stop();
    }).start();
    await until(() => got.length > 0);
    assert.equal(got, [1, 2]);
    produce(1);
    stopping.start();
    await until(() => got.length === 3);
    stopping.close();
  });
  test('a record view kept after close does not reach unmapped memory', () => {
    let kept: DataView | undefined;
    const ring = new RingBuffer(object.map('events'), (view) => {
      kept = view;
    });
    produce(1);
    ring.consume();
    ring.close();
    ring.close();
    if (Number(process.versions.node.split('.')[0]) >= 22) assert.throws(() => kept?.getUint8(0), TypeError);
  });
  test('two hundred rings open and close', () => {
    for (let count = 0; count < 200; count++) new RingBuffer(object.map('events'), take).start().close();
  });
  test('a pinned ring continues where the last consumer stopped', () => {
    const pin = `${privateBpffs()}/events`;
    object.map('events').pin(pin);
    produce(10);
    const first = new RingBuffer(object.map('events'), take);
    assert.is(first.consume(6), 6);
    first.close();
    object.close();

    const map = BpfMap.openPinned(pin, { key: rawCodec(0), value: rawCodec(0) });
    object = BpfObject.open(compile('all'));
    object.map('events').reuseFd(map.fd);
    object.bss.produced = 10;
    object.load();
    produce(2);
    const second = new RingBuffer(map, take);
    assert.is(second.consume(), 6);
    assert.equal(got, upTo(12));
    second.close();
    map.close();
  });
  test('only a ring can be mapped', () => {
    assert.throws(
      () => new RingBuffer({ fd: object.map('policy').fd, maxEntries: 10_000 }, take),
      /map ring of 10000 bytes: EINVAL/,
    );
    assert.throws(() => new RingBuffer({ fd: object.map('policy').fd, maxEntries: 4096 }, take), /mmap consumer page/);
  });
}
