/**
 * BTF, the type information of BPF objects and of the kernel (Documentation/bpf/btf.rst). Types are decoded when asked
 * for: only their offsets are indexed, so opening the kernel's 125 000 types is cheap. Layouts and codecs: `shape.ts`.
 */
import { readFileSync } from 'node:fs';
import { Elf } from './elf.ts';
import { KIND } from './kind.ts';
import { describe, shapeOf } from './shape.ts';

/** Bytes after the 12-byte head: [fixed, per member]. */
const TAIL: readonly (readonly [number, number])[] = [
  [0, 0],
  [4, 0],
  [0, 0],
  [12, 0],
  [0, 12],
  [0, 12],
  [0, 8],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 8],
  [4, 0],
  [0, 12],
  [0, 0],
  [4, 0],
  [0, 0],
  [0, 12],
];
const MODIFIERS: ReadonlySet<number> = new Set([
  KIND.typedef,
  KIND.volatile,
  KIND.const,
  KIND.restrict,
  KIND.type_tag,
  KIND.var,
]);
/** Kinds `find` looks at, in the order of preference when a typedef and a struct share a name. */
const NAMED: readonly number[] = [
  KIND.struct,
  KIND.union,
  KIND.enum,
  KIND.enum64,
  KIND.datasec,
  KIND.typedef,
  KIND.int,
  KIND.float,
];

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

export interface MapDefinition {
  readonly name: string;
  readonly type: number;
  readonly maxEntries: number;
  /** Type ids; 0 where the definition gives only a size. */
  readonly keyType: number;
  readonly valueType: number;
  readonly keySize: number;
  /** Maps in maps: 4, a map's fd to write, its id to read. */
  readonly valueSize: number;
}

export interface StructLayout {
  readonly size: number;
  /** `type` as in C with fixed widths: "u32", "u8[16]", "char[16]", "struct flow". */
  readonly fields: readonly {
    readonly name: string;
    readonly offset: number;
    readonly size: number;
    readonly type: string;
  }[];
}

export class Btf {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #strings: number;
  /** Byte offset of type id - 1. */
  readonly #offsets: Uint32Array;

  /** `raw`: content of a .BTF section or of /sys/kernel/btf/vmlinux. Throws if malformed. */
  constructor(raw: Uint8Array) {
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    if (raw.length < 24 || view.getUint16(0, true) !== 0xeb9f) throw new Error('Cannot read BTF: bad magic');
    this.#bytes = raw;
    this.#view = view;
    const head = view.getUint32(4, true);
    const start = head + view.getUint32(8, true);
    const end = start + view.getUint32(12, true);
    this.#strings = head + view.getUint32(16, true);
    const offsets: number[] = [];
    for (let at = start; at < end; ) {
      offsets.push(at);
      const info = view.getUint32(at + 4, true);
      const tail = TAIL[(info >>> 24) & 0x1f];
      if (tail === undefined)
        throw new Error(`Cannot read BTF: unknown kind ${(info >>> 24) & 0x1f} of type ${offsets.length}`);
      at += 12 + tail[0] + tail[1] * (info & 0xffff);
    }
    this.#offsets = Uint32Array.from(offsets);
  }

  /** BTF of an object file. Throws if it has none (compile with -g). */
  static fromObject(source: string | Uint8Array): Btf {
    const elf = new Elf(typeof source === 'string' ? readFileSync(source) : source);
    const name = typeof source === 'string' ? `"${source}"` : 'object';
    const section = elf.section('.BTF');
    if (section === undefined) throw new Error(`Cannot read BTF of ${name}: no .BTF section, compile with -g`);
    const btf = new Btf(Uint8Array.from(section));
    btf.#placeVariables(elf);
    return btf;
  }

  /** BTF of the running kernel, about 5 MB: do not keep it longer than needed. */
  static kernel(): Btf {
    return new Btf(readFileSync('/sys/kernel/btf/vmlinux'));
  }

  /** Number of types, void included: ids are 0 <= id < size. */
  get size(): number {
    return this.#offsets.length + 1;
  }

  /** Type by id. Throws if there is none. */
  type(id: number): BtfType {
    if (id === 0) return { ...BLANK, id: 0, kind: KIND.void, name: 'void' };
    const at = this.#offsets[id - 1];
    if (at === undefined) throw new Error(`BTF has no type ${id}`);
    return decode(this.#view, at, id, (offset) => this.#string(offset));
  }

  /** First struct, union, enum, section, typedef or scalar of that name (structs before typedefs). Throws if absent. */
  find(name: string): BtfType {
    const id = this.#idOf(name, NAMED);
    if (id === undefined) throw new Error(`BTF has no type "${name}"`);
    return this.type(id);
  }

  has(name: string): boolean {
    return this.#idOf(name, NAMED) !== undefined;
  }

  /** Whether a function of that name is described (kernel: kfuncs, tracepoints' and iterators' functions). */
  hasFunction(name: string): boolean {
    return this.#idOf(name, [KIND.func]) !== undefined;
  }

  /** All types of one kind. */
  *ofKind(kind: number): Generator<BtfType> {
    for (let id = 1; id < this.size; id++) if (this.#kind(id) === kind) yield this.type(id);
  }

  /** Follows typedefs, qualifiers, tags and variables to the type behind them. */
  resolve(id: number): BtfType {
    let type = this.type(id);
    while (MODIFIERS.has(type.kind)) type = this.type(type.type);
    return type;
  }

  sizeOf(id: number): number {
    const type = this.resolve(id);
    return type.kind === KIND.array ? type.length * this.sizeOf(type.type) : type.size;
  }

  /** Names and values of an enum. 64-bit values beyond 2^53 lose precision. */
  enumValues(name: string): Record<string, number> {
    const type = this.resolve(this.find(name).id);
    if (type.kind !== KIND.enum && type.kind !== KIND.enum64) throw new Error(`BTF type "${name}" is not an enum`);
    return Object.fromEntries(type.values);
  }

  /** Size and fields of a struct or union, for checking an ABI. Anonymous members are flattened; bit fields have size 0. */
  structLayout(name: string): StructLayout {
    const shape = shapeOf(this, this.find(name).id);
    if (shape.kind !== 'struct') throw new Error(`BTF type "${name}" is not a struct`);
    const fields = shape.fields.map((field) => ({
      name: field.name,
      offset: field.offset,
      size: field.bits ? 0 : field.shape.size,
      type: describe(field.shape),
    }));
    return { size: shape.size, fields };
  }

  /** Maps of the `.maps` section, in the order of the section. */
  mapDefinitions(): MapDefinition[] {
    if (!this.has('.maps')) return [];
    return this.find('.maps').variables.map(({ type }) => {
      const variable = this.type(type);
      const members = new Map(this.resolve(type).members.map((member) => [member.name, member.type]));
      // __uint(name, n) is `int (*name)[n]`, __type(name, T) is `T *name`.
      const target = (name: string): BtfType | undefined => {
        const id = members.get(name);
        return id === undefined ? undefined : this.resolve(id);
      };
      const number = (name: string): number => {
        const pointer = target(name);
        return pointer?.kind === KIND.ptr ? this.resolve(pointer.type).length : 0;
      };
      const keyType = target('key')?.type ?? 0;
      const valueType = target('value')?.type ?? 0;
      return {
        name: variable.name,
        type: number('type'),
        maxEntries: number('max_entries'),
        keyType,
        valueType,
        keySize: keyType ? this.sizeOf(keyType) : number('key_size'),
        valueSize: valueType ? this.sizeOf(valueType) : number('value_size') || (members.has('values') ? 4 : 0),
      };
    });
  }

  /** clang leaves the offsets of variables in their section 0 (they are relocations): take them from the symbols. */
  #placeVariables(elf: Elf): void {
    const offsets = new Map(
      elf
        .symbols()
        .flatMap(({ kind, section, name, offset }) =>
          kind === 'variable' ? [[`${section} ${name}`, offset] as const] : [],
        ),
    );
    for (const section of this.ofKind(KIND.datasec))
      for (const [index, { type }] of section.variables.entries()) {
        const offset = offsets.get(`${section.name} ${this.type(type).name}`);
        const at = (this.#offsets[section.id - 1] ?? 0) + 12 + index * 12;
        if (offset !== undefined) this.#view.setUint32(at + 4, offset, true);
      }
  }

  #kind(id: number): number {
    return (this.#view.getUint32((this.#offsets[id - 1] ?? 0) + 4, true) >>> 24) & 0x1f;
  }

  #idOf(name: string, kinds: readonly number[]): number | undefined {
    const wanted = Buffer.from(`${name}\0`, 'latin1');
    let best: number | undefined;
    let rank = kinds.length;
    for (let id = 1; id < this.size && rank > 0; id++) {
      const at = this.#strings + this.#view.getUint32(this.#offsets[id - 1] ?? 0, true);
      if (this.#bytes[at] !== wanted[0] || !equalAt(this.#bytes, at, wanted)) continue;
      const position = kinds.indexOf(this.#kind(id));
      if (position < 0 || position >= rank) continue;
      best = id;
      rank = position;
    }
    return best;
  }

  #string(offset: number): string {
    const start = this.#strings + offset;
    return Buffer.from(
      this.#bytes.buffer,
      this.#bytes.byteOffset + start,
      this.#bytes.indexOf(0, start) - start,
    ).toString('latin1');
  }
}

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

function decode(view: DataView, at: number, id: number, string: (offset: number) => string): BtfType {
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

function equalAt(bytes: Uint8Array, at: number, wanted: Uint8Array): boolean {
  for (let index = 0; index < wanted.length; index++) if (bytes[at + index] !== wanted[index]) return false;
  return true;
}
