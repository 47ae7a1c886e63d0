import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Btf, Elf } from '../src/index.ts';
import { BtfBytes } from './btf-bytes.ts';

const bytes = new BtfBytes();
const u32 = bytes.int('unsigned int', 4);
const u8 = bytes.int('unsigned char', 1);
const char = bytes.int('char', 1, 'signed');
const s64 = bytes.int('long', 8, 'signed');
const bool = bytes.int('_Bool', 1, 'bool');
const address = bytes.array(u8, 16);
const text = bytes.array(char, 8);
const verdict = bytes.enum('verdict', { UNSPEC: 0, FORWARDED: 1, DROPPED: 2 });
bytes.enum('reason', { NONE: 0, BAD: -1 });
bytes.enum64('wide', { SMALL: 1, LARGE: 2 ** 40 + 3 });
const point = bytes.struct('point', 8, [
  { name: 'x', type: u32, bitOffset: 0 },
  { name: 'y', type: u32, bitOffset: 32 },
]);
const either = bytes.struct(
  '',
  4,
  [
    { name: 'uid', type: u32, bitOffset: 0 },
    { name: 'short', type: u8, bitOffset: 0 },
  ],
  'union',
);
const flow = bytes.struct('flow', 64, [
  { name: 'verdict', type: verdict, bitOffset: 0 },
  { name: 'address', type: address, bitOffset: 32 },
  { name: 'name', type: text, bitOffset: 160 },
  { name: '', type: either, bitOffset: 224 },
  { name: 'delta', type: s64, bitOffset: 256 },
  { name: 'point', type: point, bitOffset: 320 },
  { name: 'next', type: bytes.pointer(point), bitOffset: 384 },
  { name: 'last', type: bytes.const(bool), bitOffset: 448 },
]);
bytes.typedef('flow_t', flow);
bytes.typedef('point', u32);
bytes.struct('bits', 4, [
  { name: 'a', type: u32, bitOffset: 0, bitSize: 1 },
  { name: 'b', type: u32, bitOffset: 1, bitSize: 12 },
]);
bytes.func('bpf_sock_destroy', bytes.funcProto(u32));
const btf = new Btf(bytes.bytes());

test('finds a struct before a typedef of the same name', () => {
  assert.is(btf.find('point').id, point);
});
test('knows types by name and functions apart from types', () => {
  assert.ok(btf.has('flow'));
  assert.not.ok(btf.has('bpf_sock_destroy'));
  assert.ok(btf.hasFunction('bpf_sock_destroy'));
  assert.not.ok(btf.hasFunction('bpf_sock'));
  assert.not.ok(btf.has('flo'));
});
test('names the type that is missing', () => {
  assert.throws(() => btf.find('nope'), /BTF has no type "nope"/);
});
test('lays out a struct with flattened anonymous members', () => {
  const { size, fields } = btf.structLayout('flow_t');
  assert.is(size, 64);
  assert.equal(
    fields.map(({ name, offset, size, type }) => `${name} ${offset} ${size} ${type}`),
    [
      'verdict 0 4 enum verdict',
      'address 4 16 u8[16]',
      'name 20 8 char[8]',
      'uid 28 4 u32',
      'short 28 1 u8',
      'delta 32 8 s64',
      'point 40 8 struct point',
      'next 48 8 u64',
      'last 56 1 bool',
    ],
  );
});
test('bit fields have size 0', () => {
  assert.equal(
    btf.structLayout('bits').fields.map(({ name, size }) => [name, size]),
    [
      ['a', 0],
      ['b', 0],
    ],
  );
});
test('reads enums, signed and of 64 bits', () => {
  assert.equal(btf.enumValues('verdict'), { UNSPEC: 0, FORWARDED: 1, DROPPED: 2 });
  assert.equal(btf.enumValues('reason'), { NONE: 0, BAD: -1 });
  assert.equal(btf.enumValues('wide'), { SMALL: 1, LARGE: 2 ** 40 + 3 });
});
test('refuses what is not an enum or a struct', () => {
  assert.throws(() => btf.enumValues('flow'), /"flow" is not an enum/);
  assert.throws(() => btf.structLayout('verdict'), /"verdict" is not a struct/);
});
test('refuses bytes that are not BTF or not ELF', () => {
  assert.throws(() => new Btf(Buffer.alloc(64)), /bad magic/);
  assert.throws(() => new Elf(Buffer.alloc(64)), /not an ELF file/);
  assert.throws(() => Btf.fromObject(Buffer.alloc(0)), /not an ELF file/);
});
test('refuses an unknown kind instead of misreading what follows', () => {
  const broken = Buffer.from(bytes.bytes());
  broken.writeUInt8(0x1f, 24 + 7);
  assert.throws(() => new Btf(broken), /unknown kind 31/);
});

test.run();
