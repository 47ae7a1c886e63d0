/**
 * BTF, the type information of BPF objects and of the kernel (Documentation/bpf/btf.rst). Types are decoded when asked
 * for: only their offsets are indexed, so opening the kernel's 125 000 types is cheap. Layouts and codecs: `shape.ts`.
 */
import { readFileSync } from 'node:fs';
import type { BtfType } from './decode.ts';
import { decodeType, sizeOfType, VOID } from './decode.ts';
import { Elf } from './elf.ts';
import { KIND } from './kind.ts';
import { describe, shapeOf } from './shape.ts';

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
      at += sizeOfType(view, at);
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
    if (id === 0) return VOID;
    const at = this.#offsets[id - 1];
    if (at === undefined) throw new Error(`BTF has no type ${id}`);
    return decodeType(this.#view, at, id, (offset) => this.#string(offset));
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

function equalAt(bytes: Uint8Array, at: number, wanted: Uint8Array): boolean {
  for (let index = 0; index < wanted.length; index++) if (bytes[at + index] !== wanted[index]) return false;
  return true;
}
