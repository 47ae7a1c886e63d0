/** Writes BTF by hand, so that the parser is tested against the format and not against a compiler. */
import { KIND } from '../src/index.ts';

export interface Member {
  readonly name?: string;
  readonly type: number;
  readonly bitOffset: number;
  readonly bitSize?: number;
}

/** Ids are handed out from 1 in the order of the calls. */
export class BtfBytes {
  readonly #strings: string[] = [''];
  readonly #words: number[] = [];
  #count = 0;

  int(name: string, size: number, encoding: '' | 'signed' | 'char' | 'bool' = ''): number {
    const bits = { '': 0, signed: 1, char: 2, bool: 4 }[encoding];
    return this.#add(name, KIND.int, 0, false, size, [(bits << 24) | (size * 8)]);
  }

  float(name: string, size: number): number {
    return this.#add(name, KIND.float, 0, false, size);
  }

  pointer(type: number): number {
    return this.#add('', KIND.ptr, 0, false, type);
  }

  array(type: number, length: number): number {
    return this.#add('', KIND.array, 0, false, 0, [type, type, length]);
  }

  struct(name: string, size: number, members: readonly Member[], kind: 'struct' | 'union' = 'struct'): number {
    const flag = members.some(({ bitSize }) => bitSize !== undefined);
    const words = members.flatMap(({ name = '', type, bitOffset, bitSize = 0 }) => [
      this.#string(name),
      type,
      flag ? (bitSize << 24) | bitOffset : bitOffset,
    ]);
    return this.#add(name, KIND[kind], members.length, flag, size, words);
  }

  enum(name: string, values: Readonly<Record<string, number>>): number {
    const rows = Object.entries(values);
    const signed = rows.some(([, value]) => value < 0);
    const words = rows.flatMap(([key, value]) => [this.#string(key), value >>> 0]);
    return this.#add(name, KIND.enum, rows.length, signed, 4, words);
  }

  enum64(name: string, values: Readonly<Record<string, number>>): number {
    const rows = Object.entries(values);
    const words = rows.flatMap(([key, value]) => [this.#string(key), value >>> 0, Math.floor(value / 2 ** 32) >>> 0]);
    return this.#add(name, KIND.enum64, rows.length, false, 8, words);
  }

  typedef(name: string, type: number): number {
    return this.#add(name, KIND.typedef, 0, false, type);
  }

  const(type: number): number {
    return this.#add('', KIND.const, 0, false, type);
  }

  func(name: string, proto: number): number {
    return this.#add(name, KIND.func, 0, false, proto);
  }

  funcProto(returns: number): number {
    return this.#add('', KIND.func_proto, 0, false, returns);
  }

  bytes(): Buffer {
    const strings = Buffer.from(`${this.#strings.join('\0')}\0`);
    const types = Buffer.from(Uint32Array.from(this.#words).buffer);
    const head = Buffer.alloc(24);
    head.writeUInt16LE(0xeb9f, 0);
    head.writeUInt8(1, 2);
    for (const [index, value] of [24, 0, types.length, types.length, strings.length].entries())
      head.writeUInt32LE(value, 4 + index * 4);
    return Buffer.concat([head, types, strings]);
  }

  #add(name: string, kind: number, vlen: number, flag: boolean, word: number, tail: readonly number[] = []): number {
    const info = ((flag ? 0x8000_0000 : 0) | (kind << 24) | vlen) >>> 0;
    this.#words.push(this.#string(name), info, word, ...tail);
    return ++this.#count;
  }

  #string(text: string): number {
    if (text === '') return 0;
    const offset = this.#strings.reduce((sum, string) => sum + string.length + 1, 0);
    this.#strings.push(text);
    return offset;
  }
}
