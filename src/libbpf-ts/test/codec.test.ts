import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Btf, codec, rawCodec, u64Codec } from '../src/index.ts';
import { BtfBytes } from './btf-bytes.ts';

const bytes = new BtfBytes();
const u8 = bytes.int('u8', 1);
const u16 = bytes.int('u16', 2);
const s16 = bytes.int('s16', 2, 'signed');
const u32 = bytes.int('u32', 4);
const s32 = bytes.int('s32', 4, 'signed');
const u64 = bytes.int('u64', 8);
const s64 = bytes.int('s64', 8, 'signed');
const char = bytes.int('char', 1, 'char');
const bool = bytes.int('bool', 1, 'bool');
const inner = bytes.struct('inner', 4, [
  { name: 'low', type: u16, bitOffset: 0 },
  { name: 'high', type: s16, bitOffset: 16 },
]);
bytes.struct('everything', 80, [
  { name: 'u8', type: u8, bitOffset: 0 },
  { name: 'bool', type: bool, bitOffset: 8 },
  { name: 's16', type: s16, bitOffset: 16 },
  { name: 's32', type: s32, bitOffset: 32 },
  { name: 'u64', type: u64, bitOffset: 64 },
  { name: 's64', type: s64, bitOffset: 128 },
  { name: 'text', type: bytes.array(char, 8), bitOffset: 192 },
  { name: 'bytes', type: bytes.array(u8, 4), bitOffset: 256 },
  { name: 'inner', type: inner, bitOffset: 288 },
  { name: 'list', type: bytes.array(u32, 3), bitOffset: 320 },
  { name: 'structs', type: bytes.array(inner, 2), bitOffset: 416 },
  { name: 'f64', type: bytes.float('double', 8), bitOffset: 512 },
  { name: 'f32', type: bytes.float('float', 4), bitOffset: 576 },
]);
bytes.struct('bits', 4, [
  { name: 'a', type: u32, bitOffset: 0, bitSize: 1 },
  { name: 'b', type: u32, bitOffset: 1, bitSize: 5 },
  { name: 'c', type: u32, bitOffset: 6, bitSize: 5 },
  { name: 'd', type: s32, bitOffset: 11, bitSize: 21 },
]);
bytes.struct(
  'either',
  8,
  [
    { name: 'whole', type: u64, bitOffset: 0 },
    { name: 'part', type: u8, bitOffset: 0 },
  ],
  'union',
);
const btf = new Btf(bytes.bytes());

interface Everything {
  u64: number | bigint;
  s64: number | bigint;
  [field: string]: unknown;
}
interface Bits {
  a: number;
  b: number;
  c: number;
  d: number;
}
const plain = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
const safe = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const low = fc.integer({ min: 0, max: 0xffff });
const high = fc.integer({ min: -0x8000, max: 0x7fff });
const everything = plain({
  u8: fc.integer({ min: 0, max: 255 }),
  bool: fc.boolean(),
  s16: high,
  s32: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  u64: safe,
  s64: fc.maxSafeInteger(),
  text: fc.string({ maxLength: 7, unit: fc.constantFrom(...'abcXYZ09-_.') }),
  bytes: fc.uint8Array({ minLength: 4, maxLength: 4 }),
  inner: plain({ low, high }),
  list: fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { minLength: 3, maxLength: 3 }),
  structs: fc.array(plain({ low, high }), { minLength: 2, maxLength: 2 }),
  f64: fc.double({ noNaN: true }),
  f32: fc.float({ noNaN: true }),
});

test('what is encoded decodes to the same value, at any offset', () => {
  const it = codec<Everything>(btf, 'everything');
  fc.assert(
    fc.property(everything, fc.integer({ min: 0, max: 16 }), (value, offset) => {
      const view = new DataView(new ArrayBuffer(it.size + 16));
      it.encode(view, offset, value as Everything);
      assert.equal({ ...it.decode(view, offset) }, value);
    }),
  );
});
test('bit fields do not disturb each other', () => {
  const it = codec<Bits>(btf, 'bits');
  const bits = plain({
    a: fc.integer({ min: 0, max: 1 }),
    b: fc.integer({ min: 0, max: 31 }),
    c: fc.integer({ min: 0, max: 31 }),
    d: fc.integer({ min: -(2 ** 20), max: 2 ** 20 - 1 }),
  });
  fc.assert(
    fc.property(bits, bits, (before, value) => {
      const view = new DataView(new ArrayBuffer(4));
      it.encode(view, 0, before);
      it.encode(view, 0, value);
      assert.equal(it.decode(view, 0), value);
    }),
  );
});
test('64-bit integers are bigint on request, whole or by field', () => {
  const view = new DataView(new ArrayBuffer(80));
  view.setBigUint64(8, 2n ** 64n - 1n, true);
  assert.is(codec<Everything>(btf, 'everything', { u64: 'bigint' }).decode(view, 0).u64, 2n ** 64n - 1n);
  const one = codec<Everything>(btf, 'everything', { bigint: ['everything.u64'] }).decode(view, 0);
  assert.is(one.u64, 2n ** 64n - 1n);
  assert.is(one.s64, 0);
});
test('numbers are exact up to 2^53 - 1', () => {
  const view = new DataView(new ArrayBuffer(8));
  u64Codec.encode(view, 0, Number.MAX_SAFE_INTEGER);
  assert.is(view.getBigUint64(0, true), BigInt(Number.MAX_SAFE_INTEGER));
  assert.is(u64Codec.decode(view, 0), Number.MAX_SAFE_INTEGER);
});
test('the smaller member of a union leaves nothing of an earlier value', () => {
  const it = codec<{ whole?: number; part?: number }>(btf, 'either');
  const view = new DataView(new ArrayBuffer(8));
  it.encode(view, 0, { whole: 2 ** 40 });
  it.encode(view, 0, { part: 3 });
  assert.is(it.decode(view, 0).whole, 3);
});
test('a missing field is named', () => {
  const it = codec(btf, 'inner');
  assert.throws(() => it.encode(new DataView(new ArrayBuffer(4)), 0, { low: 1 }), /Cannot encode inner: no "high"/);
});
test('long text is cut, its last byte stays NUL', () => {
  const it = codec<{ text: string }>(btf, 'everything');
  const view = new DataView(new ArrayBuffer(80));
  const value = { ...it.decode(view, 0), text: 'abcdefghijkl' };
  it.encode(view, 0, value);
  assert.is(it.decode(view, 0).text, 'abcdefg');
});
test('raw codecs refuse another length', () => {
  assert.throws(() => rawCodec(4).encode(new DataView(new ArrayBuffer(4)), 0, new Uint8Array(5)), /5 bytes, wanted 4/);
});

test.run();
