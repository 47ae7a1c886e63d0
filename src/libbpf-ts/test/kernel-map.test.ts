import { createServer } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BpfError, BpfMap, BpfObject, possibleCpus, rawCodec, u32Codec, u64Codec } from '../src/index.ts';
import { compile, missing, privateBpffs } from './kernel.ts';

const test = suite('maps');
const reason = missing();
if (reason !== undefined) console.log(`SKIP maps: ${reason}`);
else define();
test.run();

function define(): void {
  const object = BpfObject.open(compile('all'));
  const bpffs = privateBpffs();
  const key = (identity: number) => ({ identity, dport_be: 443, protocol: 6, pad: 0 });
  const value = (packets: number) => ({ packets, cookie: 1, verdict: 2, direction: 1, audit: 0, hops: 9, rest: 1 });
  const address = (last: number) => Uint8Array.of(0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last);
  const code = (expected: string) => (error: unknown) => error instanceof BpfError && error.code === expected;

  test.before(() => {
    object.map('lru').setMaxEntries(128);
    object.load();
  });
  test.after(() => object.close());

  test('capacity set before load is the capacity', () => {
    assert.is(object.map('lru').maxEntries, 128);
  });
  test('definition is fixed after load', () => {
    assert.throws(() => object.map('lru').setMaxEntries(1), /"lru" is loaded/);
  });
  test('set, get, has and delete one entry', () => {
    const map = object.map('policy');
    assert.is(map.get(key(1)), undefined);
    map.set(key(1), value(2 ** 50));
    assert.equal(map.get(key(1)), value(2 ** 50));
    assert.ok(map.has(key(1)));
    assert.ok(map.delete(key(1)));
    assert.not.ok(map.has(key(1)));
    assert.not.ok(map.delete(key(1)));
  });
  test('noexist refuses a present key and exist an absent one', () => {
    const map = object.map('policy');
    map.set(key(2), value(1), 'noexist');
    assert.throws(() => map.set(key(2), value(1), 'noexist'), code('EEXIST'));
    assert.throws(() => map.set(key(3), value(1), 'exist'), code('ENOENT'));
    map.set(key(2), value(5), 'exist');
    assert.is(map.lookupAndDelete(key(2)).packets, 5);
    assert.is(map.lookupAndDelete(key(2)), undefined);
  });
  test('ten thousand entries go in, come out and go away in batches', () => {
    const map = object.map('policy');
    const all = Array.from({ length: 10_000 }, (_, index): [unknown, unknown] => [key(index), value(index)]);
    assert.is(map.updateBatch(all, { chunk: 999 }), 10_000);
    assert.is(map.count(), 10_000);
    const sum = [...map.entriesBatch({ chunk: 64 })].reduce((total, [, { packets }]) => total + packets, 0);
    assert.is(sum, (10_000 * 9_999) / 2);
    assert.is(map.deleteBatch([key(0), key(77_777), key(1), key(88_888), key(2)]), 3);
    assert.is(map.count(), 9_997);
    map.clear();
    assert.is(map.count(), 0);
  });
  test('a full map says how far a batch came', () => {
    const map = object.map('policy');
    const all = Array.from({ length: 10_001 }, (_, index): [unknown, unknown] => [key(index), value(index)]);
    assert.throws(
      () => map.updateBatch(all),
      (error: unknown) => code('E2BIG')(error) && /10000 written/.test(`${error}`),
    );
    map.clear();
  });
  test('deleting while walking visits every key once', () => {
    const map = object.map('policy');
    map.updateBatch(Array.from({ length: 500 }, (_, index) => [key(index), value(1)] as const));
    const seen = new Set<number>();
    for (const found of map.keys()) {
      seen.add(found.identity);
      map.delete(found);
    }
    assert.is(seen.size, 500);
    assert.is(map.count(), 0);
  });
  test('a prefix trie returns the longest match and walks in batches or singly', () => {
    const map = object.map('ipcache');
    map.set({ length: 16, address: address(0) }, 1);
    map.set({ length: 128, address: address(7) }, 2);
    assert.is(map.get({ length: 128, address: address(9) }), 1);
    assert.is(map.get({ length: 128, address: address(7) }), 2);
    assert.is(map.count(), 2);
    assert.is([...map.keys()].length, 2);
    map.clear();
    assert.is(map.count(), 0);
  });
  test('array entries exist from the start and cannot be deleted', () => {
    const map = object.map('array');
    map.set(3, 2 ** 40);
    assert.is(map.get(3), 2 ** 40);
    assert.is(map.count(), 8);
    assert.equal(
      [...map.entries()].map(([, counter]) => counter),
      [0, 0, 0, 2 ** 40, 0, 0, 0, 0],
    );
    assert.throws(() => map.delete(3), code('EINVAL'));
    assert.throws(() => map.set(8, 1), code('E2BIG'));
    map.clear();
    assert.is(map.get(3), 0);
  });
  test('per-CPU maps have one value for every possible CPU', () => {
    const values = Array.from({ length: possibleCpus() }, (_, cpu) => cpu + 10);
    for (const name of ['percpu_array', 'percpu_hash']) {
      const map = object.map(name);
      map.setPerCpu(1, values);
      assert.equal(map.getPerCpu(1), values);
      assert.equal([...map.entriesPerCpu()].find(([cpuKey]) => cpuKey === 1)?.[1], values);
      assert.throws(() => map.get(1), /per-CPU: use getPerCpu/);
      assert.throws(() => map.setPerCpu(1, [1, 2, 3, 4, 5, 6, 7].slice(0, values.length - 1)), RangeError);
    }
    assert.is(object.map('percpu_hash').count(), 1);
    object.map('percpu_hash').clear();
    assert.is(object.map('percpu_hash').count(), 0);
    assert.throws(() => object.map('array').getPerCpu(1), /not per-CPU/);
  });
  test('a queue gives back in order and then nothing', () => {
    const map = object.map('queue');
    for (const item of [1, 2]) map.set(undefined, item);
    assert.equal([map.lookupAndDelete(undefined), map.lookupAndDelete(undefined)], [1, 2]);
    assert.is(map.lookupAndDelete(undefined), undefined);
  });
  test('socket storage is keyed by the socket fd', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
    const map = object.map('sockets');
    assert.is(map.get(fd), undefined);
    map.set(fd, value(3));
    assert.is(map.get(fd).packets, 3);
    assert.ok(map.delete(fd));
    server.close();
  });
  test('maps in maps take an fd and return an id', () => {
    for (const outer of ['tables', 'policies']) {
      const inner = BpfMap.create({ type: 'array', name: 'inner', key: u32Codec, value: u64Codec, maxEntries: 2 });
      inner.set(1, 42);
      object.map(outer).set(1, inner.fd);
      inner.close();
      const again = BpfMap.fromId(object.map(outer).get(1), { key: u32Codec, value: u64Codec });
      assert.is(again.get(1), 42);
      again.close();
    }
  });
  test('an mmapable array is shared memory', () => {
    const map = object.map('shared');
    const counters = new BigUint64Array(map.mmap());
    map.set(5, 99);
    assert.is(counters[5], 99n);
    counters[6] = 7n;
    assert.is(map.get(6), 7);
  });
  test('types without batch operations fall back to single calls', () => {
    const map = BpfMap.create({ type: 'devmap_hash', name: 'devices', key: u32Codec, value: u32Codec, maxEntries: 4 });
    const loopback = 1;
    const three = [1, 2, 3].map((key): [number, number] => [key, loopback]);
    assert.is(map.updateBatch(three), 3);
    assert.equal([...map.entriesBatch()].sort(), three);
    assert.is(map.count(), 3);
    assert.is(map.deleteBatch([1, 9, 2]), 2);
    assert.throws(
      () =>
        map.updateBatch([
          [1, loopback],
          [2, 0x7fff_ffff],
        ]),
      (error: unknown) => code('EINVAL')(error) && /1 written/.test(`${error}`),
    );
    map.clear();
    assert.is(map.count(), 0);
    map.close();
  });
  test('codecs of the wrong size are refused by name', () => {
    const path = `${bpffs}/sizes`;
    object.map('policy').pin(path);
    assert.throws(
      () => BpfMap.openPinned(path, { key: u32Codec, value: rawCodec(24) }),
      /Cannot use map .*sizes": its key has 8 bytes, the codec 4/,
    );
    assert.throws(
      () => BpfMap.openPinned(path, { key: rawCodec(8), value: u64Codec }),
      /its value has 24 bytes, the codec 8/,
    );
    assert.throws(() => object.map('policy', { key: u32Codec, value: u32Codec }), /"policy": its key has 8 bytes/);
  });
  test('a pinned map is the same map for another object', () => {
    const path = `${bpffs}/reused`;
    object.map('lru').pin(path);
    object.map('lru').set(1, 77);
    const pinned = BpfMap.openPinned(path, { key: u32Codec, value: u64Codec });
    const next = BpfObject.open(compile('all'));
    next.map('lru').reuseFd(pinned.fd);
    next.load();
    assert.is(next.map('lru').get(1), 77);
    assert.is(next.map('lru').maxEntries, 128);
    next.close();
    assert.is(pinned.get(1), 77);
    pinned.close();
    assert.throws(() => pinned.get(1), /is closed/);
  });
  test('a map of another shape cannot be reused', () => {
    const next = BpfObject.open(compile('all'));
    assert.throws(
      () => next.map('ipcache').reuseFd(object.map('array').fd),
      /Cannot reuse map for "ipcache": type is 2, wanted 11/,
    );
    assert.throws(() => next.map('percpu_hash').reuseFd(object.map('percpu_array').fd), /wanted 5/);
    next.close();
  });
  test('pinning twice and opening nothing name the path', () => {
    object.map('array').pin(`${bpffs}/array`);
    assert.throws(() => object.map('array').pin(`${bpffs}/array`), /pin object to ".*array": EEXIST/);
    assert.throws(() => BpfMap.openPinned(`${bpffs}/none`, { key: u32Codec, value: u32Codec }), /none": ENOENT/);
  });
  test('a closed object answers with an error, not with another file', () => {
    const closed = BpfObject.open(compile('all')).load();
    const map = closed.map('array');
    const memory = closed.bss;
    closed.close();
    assert.throws(() => map.get(1), /"array" is closed/);
    assert.throws(() => memory.connects, /object is closed/);
    assert.throws(() => closed.program('pass').fd, /is closed/);
    closed.close();
  });
}
