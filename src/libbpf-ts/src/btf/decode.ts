/** One BTF type from its bytes (struct btf_type and what follows it). Knows nothing of other types. */
import { KIND } from './kind.ts';

export interface BtfMember {
  readonly name: string;
  readonly type: number;
  readonly bitOffset: number;
  /** 0 if not a bit field. */
  readonly bitSize: number;
}

export interface BtfType {
  readonly id: number;
  readonly kind: number;
  readonly name: string;
  /** Bytes, of kinds that have a size; else 0. */
  readonly size: number;
  /** Referenced type, of kinds that refer to one; else 0. */
  readonly type: number;
  readonly signed: boolean;
  readonly bool: boolean;
  readonly char: boolean;
  readonly length: number;
  readonly members: readonly BtfMember[];
  readonly values: readonly (readonly [string, number])[];
  readonly variables: readonly { readonly type: number; readonly offset: number; readonly size: number }[];
}

/** Bytes a type takes, head included. Throws for a kind that is newer than this file. */
export function sizeOfType(view: DataView, at: number): number {
  const info = view.getUint32(at + 4, true);
  const kind = (info >>> 24) & 0x1f;
  const length = info & 0xffff;
  switch (kind) {
    case KIND.int:
    case KIND.var:
    case KIND.decl_tag:
      return HEAD + 4;
    case KIND.array:
      return HEAD + 12;
    case KIND.struct:
    case KIND.union:
    case KIND.datasec:
    case KIND.enum64:
      return HEAD + 12 * length;
    case KIND.enum:
    case KIND.func_proto:
      return HEAD + 8 * length;
  }
  if (kind > KIND.enum64) throw new Error(`Cannot read BTF: unknown kind ${kind}`);
  return HEAD;
}

/** struct btf_type */
const HEAD = 12;
const BLANK: Omit<BtfType, 'id' | 'kind' | 'name'> = {
  size: 0,
  type: 0,
  signed: false,
  bool: false,
  char: false,
  length: 0,
  members: [],
  values: [],
  variables: [],
};

/** Type 0. */
export const VOID: BtfType = { ...BLANK, id: 0, kind: KIND.void, name: 'void' };

/** `string` reads the string section. */
export function decodeType(view: DataView, at: number, id: number, string: (offset: number) => string): BtfType {
  const info = view.getUint32(at + 4, true);
  const kind = (info >>> 24) & 0x1f;
  const flag = info >>> 31 === 1;
  const word = view.getUint32(at + 8, true);
  const blank: BtfType = { ...BLANK, id, kind, name: string(view.getUint32(at, true)) };
  const rows = <T>(stride: number, row: (at: number) => T): T[] =>
    Array.from({ length: info & 0xffff }, (_, index) => row(at + 12 + index * stride));
  switch (kind) {
    case KIND.int: {
      const encoding = (view.getUint32(at + 12, true) >>> 24) & 0xf;
      const bool = (encoding & 4) !== 0;
      // clang marks `char` only by its name and its signedness (unsigned on arm64).
      return {
        ...blank,
        size: word,
        signed: (encoding & 1) !== 0,
        bool,
        char: (encoding & 2) !== 0 || blank.name === 'char',
      };
    }
    case KIND.float:
      return { ...blank, size: word };
    case KIND.array:
      return { ...blank, type: view.getUint32(at + 12, true), length: view.getUint32(at + 20, true) };
    case KIND.struct:
    case KIND.union: {
      const members = rows(12, (row) => {
        const offset = view.getUint32(row + 8, true);
        return {
          name: string(view.getUint32(row, true)),
          type: view.getUint32(row + 4, true),
          bitOffset: flag ? offset & 0xff_ffff : offset,
          bitSize: flag ? offset >>> 24 : 0,
        };
      });
      return { ...blank, size: word, members };
    }
    case KIND.enum: {
      const values = rows(8, (row): [string, number] => [
        string(view.getUint32(row, true)),
        flag ? view.getInt32(row + 4, true) : view.getUint32(row + 4, true),
      ]);
      return { ...blank, size: word, signed: flag, values };
    }
    case KIND.enum64: {
      const values = rows(12, (row): [string, number] => [
        string(view.getUint32(row, true)),
        view.getUint32(row + 4, true) +
          (flag ? view.getInt32(row + 8, true) : view.getUint32(row + 8, true)) * 0x1_0000_0000,
      ]);
      return { ...blank, size: word, signed: flag, values };
    }
    case KIND.datasec: {
      const variables = rows(12, (row) => ({
        type: view.getUint32(row, true),
        offset: view.getUint32(row + 4, true),
        size: view.getUint32(row + 8, true),
      }));
      return { ...blank, size: word, variables };
    }
    case KIND.ptr:
      return { ...blank, size: 8, type: word };
    default:
      return { ...blank, type: word };
  }
}
