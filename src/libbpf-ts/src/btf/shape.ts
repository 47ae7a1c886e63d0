/** What a BTF type looks like in memory, free of C's names for it: the common input of codecs and generated code. */
import type { Btf } from './btf.ts';
import type { BtfType } from './decode.ts';
import { KIND } from './kind.ts';

export type Shape =
  | { readonly kind: 'int'; readonly size: 1 | 2 | 4 | 8; readonly signed: boolean; readonly enumName?: string }
  | { readonly kind: 'bool'; readonly size: 1 }
  | { readonly kind: 'float'; readonly size: 4 | 8 }
  /** char[n], NUL-terminated. */
  | { readonly kind: 'string'; readonly size: number }
  /** u8[n], and 16-byte integers. */
  | { readonly kind: 'bytes'; readonly size: number }
  | { readonly kind: 'array'; readonly size: number; readonly length: number; readonly element: Shape }
  | StructShape;

export interface StructShape {
  readonly kind: 'struct';
  readonly size: number;
  /** Empty for anonymous structs. */
  readonly name: string;
  readonly union: boolean;
  /** In the order of the declaration; members of anonymous structs and unions are flattened into their parent. */
  readonly fields: readonly Field[];
}

export interface Field {
  readonly name: string;
  /** Bytes from the start of the struct; of a bit field: of the 1, 2 or 4 bytes that hold it. */
  readonly offset: number;
  readonly shape: Shape;
  /** Lives in a union: may be left out when encoding. */
  readonly optional: boolean;
  readonly bits?: { readonly shift: number; readonly size: number };
}

/** Throws if the type has no fixed-size memory representation or is a kind this package does not read. */
export function shapeOf(btf: Btf, id: number): Shape {
  const type = btf.resolve(id);
  switch (type.kind) {
    case KIND.int:
      if (type.bool) return { kind: 'bool', size: 1 };
      return intShape(type, type.size, type.signed);
    case KIND.enum:
    case KIND.enum64: {
      const shape = intShape(type, type.size, type.signed);
      return shape.kind === 'int' && type.name ? { ...shape, enumName: type.name } : shape;
    }
    case KIND.ptr:
      return { kind: 'int', size: 8, signed: false };
    case KIND.float:
      if (type.size === 4 || type.size === 8) return { kind: 'float', size: type.size };
      break;
    case KIND.array: {
      const element = btf.resolve(type.type);
      if (element.kind === KIND.int && element.size === 1 && !element.bool)
        return { kind: element.char ? 'string' : 'bytes', size: type.length };
      const shape = shapeOf(btf, type.type);
      return { kind: 'array', size: shape.size * type.length, length: type.length, element: shape };
    }
    case KIND.struct:
    case KIND.union:
      return {
        kind: 'struct',
        size: type.size,
        name: type.name,
        union: type.kind === KIND.union,
        fields: fieldsOf(btf, type, 0, false),
      };
  }
  throw new Error(`BTF type "${type.name}" (id ${id}, kind ${type.kind}) has no supported memory layout`);
}

/** "u32", "char[16]", "struct flow". */
export function describe(shape: Shape): string {
  switch (shape.kind) {
    case 'int':
      return shape.enumName ? `enum ${shape.enumName}` : `${shape.signed ? 's' : 'u'}${shape.size * 8}`;
    case 'bool':
      return 'bool';
    case 'float':
      return shape.size === 4 ? 'float' : 'double';
    case 'string':
      return `char[${shape.size}]`;
    case 'bytes':
      return `u8[${shape.size}]`;
    case 'array':
      return `${describe(shape.element)}[${shape.length}]`;
    case 'struct':
      return `${shape.union ? 'union' : 'struct'} ${shape.name || '(anonymous)'}`;
  }
}

function intShape(type: BtfType, size: number, signed: boolean): Shape {
  if (size === 16) return { kind: 'bytes', size };
  if (size === 1 || size === 2 || size === 4 || size === 8) return { kind: 'int', size, signed };
  throw new Error(`BTF type "${type.name}" has an unsupported size of ${size} bytes`);
}

function fieldsOf(btf: Btf, type: BtfType, base: number, optional: boolean): Field[] {
  const inUnion = optional || type.kind === KIND.union;
  return type.members.flatMap((member): Field[] => {
    const inner = btf.resolve(member.type);
    if (member.name === '') {
      const nested = inner.kind === KIND.struct || inner.kind === KIND.union;
      return nested ? fieldsOf(btf, inner, base + member.bitOffset / 8, inUnion) : [];
    }
    const shape = shapeOf(btf, member.type);
    if (member.bitSize === 0)
      return [{ name: member.name, offset: base + member.bitOffset / 8, shape, optional: inUnion }];
    return [bitField(member.name, base * 8 + member.bitOffset, member.bitSize, shape, inUnion)];
  });
}

/** The smallest aligned 1, 2 or 4 bytes around the bits. C never lets a field cross its declared unit of <= 4 bytes. */
function bitField(name: string, bitOffset: number, size: number, shape: Shape, optional: boolean): Field {
  for (const unit of [1, 2, 4] as const) {
    const offset = Math.floor(bitOffset / 8 / unit) * unit;
    const shift = bitOffset - offset * 8;
    if (shift + size > unit * 8) continue;
    const signed = shape.kind === 'int' && shape.signed;
    return { name, offset, shape: { kind: 'int', size: unit, signed }, optional, bits: { shift, size } };
  }
  throw new Error(`Bit field "${name}" crosses a 4-byte boundary: not supported`);
}
