/**
 * Codecs: a C type in memory <-> a JavaScript value. `codec()` builds one from BTF at run time out of closures (no
 * `new Function`, so it runs under --disallow-code-generation-from-strings); `libbpf-ts gen` writes faster static ones.
 */
import type { Btf } from './btf.ts';
import { getBytes, getS64, getString, getU64, setBytes, setString, setU64 } from './bytes.ts';
import type { Field, Shape, StructShape } from './shape.ts';
import { shapeOf } from './shape.ts';

export interface Codec<T> {
  /** Bytes. */
  readonly size: number;
  decode(view: DataView, offset: number): T;
  /** A field missing from `value` throws TypeError, except union members. Padding is left as it is. */
  encode(view: DataView, offset: number, value: T): void;
}

export interface CodecOptions {
  /** How 64-bit integers (and pointers) decode; 'number' (default) is exact below 2^53. Encoding takes both. */
  readonly u64?: 'number' | 'bigint';
  /** "type.field" names that are bigint although `u64` is 'number'. */
  readonly bigint?: readonly string[];
}

export const u8Codec: Codec<number> = integerCodec(1, false);
export const u16Codec: Codec<number> = integerCodec(2, false);
export const u32Codec: Codec<number> = integerCodec(4, false);
export const s32Codec: Codec<number> = integerCodec(4, true);
/** Exact below 2^53. */
export const u64Codec: Codec<number> = integerCodec(8, false);
export const u64BigintCodec: Codec<bigint> = {
  size: 8,
  decode: (view, offset) => view.getBigUint64(offset, true),
  encode: (view, offset, value) => view.setBigUint64(offset, BigInt(value), true),
};

/** Bytes as they are; decoding copies. */
export function rawCodec(size: number): Codec<Uint8Array> {
  return {
    size,
    decode: (view, offset) =>
      new Uint8Array(view.buffer.slice(view.byteOffset + offset, view.byteOffset + offset + size)),
    encode: (view, offset, value) => {
      if (value.length !== size) throw new RangeError(`Cannot encode ${value.length} bytes, wanted ${size}`);
      new Uint8Array(view.buffer, view.byteOffset + offset, size).set(value);
    },
  };
}

/** Codec of a BTF type by name or id. T is the caller's claim: nothing checks it. */
export function codec<T = unknown>(btf: Btf, type: string | number, options: CodecOptions = {}): Codec<T> {
  const id = typeof type === 'number' ? type : btf.find(type).id;
  return shapeCodec(shapeOf(btf, id), options) as Codec<T>;
}

function shapeCodec(shape: Shape, options: CodecOptions): Codec<unknown> {
  const { size } = shape;
  switch (shape.kind) {
    case 'int':
      if (size === 8 && options.u64 === 'bigint') return bigintCodec(shape.signed) as Codec<unknown>;
      return integerCodec(shape.size, shape.signed) as Codec<unknown>;
    case 'bool':
      return erase<boolean>({
        size,
        decode: (view, offset) => view.getUint8(offset) !== 0,
        encode: (view, offset, value) => view.setUint8(offset, value ? 1 : 0),
      });
    case 'float':
      return erase<number>({
        size,
        decode: (view, offset) => (size === 4 ? view.getFloat32(offset, true) : view.getFloat64(offset, true)),
        encode: (view, offset, value) =>
          size === 4 ? view.setFloat32(offset, value, true) : view.setFloat64(offset, value, true),
      });
    case 'string':
      return erase<string>({
        size,
        decode: (view, offset) => getString(view, offset, size),
        encode: (view, offset, value) => setString(view, offset, size, value),
      });
    case 'bytes':
      return erase<Uint8Array>({
        size,
        decode: (view, offset) => getBytes(view, offset, size),
        encode: (view, offset, value) => setBytes(view, offset, size, value),
      });
    case 'array': {
      const element = shapeCodec(shape.element, options);
      return erase<readonly unknown[]>({
        size,
        decode: (view, offset) =>
          Array.from({ length: shape.length }, (_, index) => element.decode(view, offset + index * element.size)),
        encode: (view, offset, value) => {
          for (let index = 0; index < shape.length; index++)
            element.encode(view, offset + index * element.size, value[index]);
        },
      });
    }
    case 'struct':
      return structCodec(shape, options);
  }
}

function structCodec(shape: StructShape, options: CodecOptions): Codec<unknown> {
  const members = shape.fields.map((field) => {
    const bigint = options.bigint?.includes(`${shape.name}.${field.name}`);
    const inner = bigint ? { ...options, u64: 'bigint' as const } : options;
    return { ...field, codec: field.bits ? bitCodec(field) : shapeCodec(field.shape, inner) };
  });
  // Two members of a union share bytes: what the written one leaves uncovered must not be an earlier value's.
  const clear = members.some((member) => member.optional);
  return erase<Record<string, unknown>>({
    size: shape.size,
    decode: (view, offset) => {
      const value: Record<string, unknown> = {};
      for (const member of members) value[member.name] = member.codec.decode(view, offset + member.offset);
      return value;
    },
    encode: (view, offset, value) => {
      if (clear) setBytes(view, offset, shape.size, []);
      for (const member of members) {
        const field = value[member.name];
        if (field !== undefined) member.codec.encode(view, offset + member.offset, field);
        else if (!member.optional) throw new TypeError(`Cannot encode ${shape.name || 'struct'}: no "${member.name}"`);
      }
    },
  });
}

function bitCodec(field: Field): Codec<unknown> {
  const { shift, size } = field.bits ?? { shift: 0, size: 0 };
  const unit = integerCodec(field.shape.size as 1 | 2 | 4, false);
  const signed = field.shape.kind === 'int' && field.shape.signed;
  const mask = size === 32 ? 0xffff_ffff : (1 << size) - 1;
  return erase<number>({
    size: unit.size,
    decode: (view, offset) => {
      const value = ((unit.decode(view, offset) >>> shift) & mask) >>> 0;
      return signed ? (value << (32 - size)) >> (32 - size) : value;
    },
    encode: (view, offset, value) =>
      unit.encode(view, offset, ((unit.decode(view, offset) & ~(mask << shift)) | ((value & mask) << shift)) >>> 0),
  });
}

function integerCodec(size: 1 | 2 | 4 | 8, signed: boolean): Codec<number> {
  switch (size) {
    case 1:
      return {
        size,
        decode: signed ? (view, offset) => view.getInt8(offset) : (view, offset) => view.getUint8(offset),
        encode: (view, offset, value) => view.setUint8(offset, value),
      };
    case 2:
      return {
        size,
        decode: signed ? (view, offset) => view.getInt16(offset, true) : (view, offset) => view.getUint16(offset, true),
        encode: (view, offset, value) => view.setUint16(offset, value, true),
      };
    case 4:
      return {
        size,
        decode: signed ? (view, offset) => view.getInt32(offset, true) : (view, offset) => view.getUint32(offset, true),
        encode: (view, offset, value) => view.setUint32(offset, value, true),
      };
    case 8:
      return {
        size,
        decode: signed ? getS64 : getU64,
        encode: (view, offset, value: number | bigint) =>
          typeof value === 'bigint' ? view.setBigUint64(offset, value, true) : setU64(view, offset, value),
      };
  }
}

function bigintCodec(signed: boolean): Codec<bigint> {
  return {
    size: 8,
    decode: signed
      ? (view, offset) => view.getBigInt64(offset, true)
      : (view, offset) => view.getBigUint64(offset, true),
    encode: (view, offset, value) => view.setBigUint64(offset, BigInt(value), true),
  };
}

/** Shapes are data, so the value type is only known to the caller of `codec()`. */
function erase<T>(typed: Codec<T>): Codec<unknown> {
  return typed as Codec<unknown>;
}
