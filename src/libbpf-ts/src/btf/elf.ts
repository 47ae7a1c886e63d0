/** Sections and function symbols of a BPF object file (ELF64, little-endian). Not a general ELF reader. */

const SHT_SYMTAB = 2;
const SHT_NOBITS = 8;
const SHN_LORESERVE = 0xff00;
const STT_OBJECT = 1;
const STT_FUNC = 2;
const STB_GLOBAL = 1;

export interface ElfSymbol {
  readonly name: string;
  readonly kind: 'function' | 'variable';
  readonly section: string;
  /** Bytes from the start of the section. */
  readonly offset: number;
  readonly global: boolean;
}

export class Elf {
  readonly #bytes: Uint8Array;
  readonly #sections: readonly SectionHeader[];

  /** Throws if `bytes` is not a little-endian ELF64 file. */
  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes.length < 64 || view.getUint32(0) !== 0x7f45_4c46) throw new Error('Cannot read ELF: not an ELF file');
    if (bytes[4] !== 2 || bytes[5] !== 1) throw new Error('Cannot read ELF: only 64-bit little-endian is supported');
    this.#bytes = bytes;
    const start = Number(view.getBigUint64(0x28, true));
    const stride = view.getUint16(0x3a, true);
    const headers = Array.from({ length: view.getUint16(0x3c, true) }, (_, index) => {
      const at = start + index * stride;
      return {
        nameOffset: view.getUint32(at, true),
        type: view.getUint32(at + 4, true),
        offset: Number(view.getBigUint64(at + 24, true)),
        size: Number(view.getBigUint64(at + 32, true)),
        link: view.getUint32(at + 40, true),
      };
    });
    const names = headers[view.getUint16(0x3e, true)];
    if (names === undefined) throw new Error('Cannot read ELF: no section names');
    this.#sections = headers.map((header) => ({ ...header, name: cString(bytes, names.offset + header.nameOffset) }));
  }

  /** Bytes of a section, undefined if there is none; empty for NOBITS (.bss). */
  section(name: string): Uint8Array | undefined {
    const header = this.#sections.find((section) => section.name === name);
    return header && this.#content(header);
  }

  /** Bytes a section takes in memory, .bss included; 0 if there is none. */
  sectionSize(name: string): number {
    return this.#sections.find((section) => section.name === name)?.size ?? 0;
  }

  /** Functions and variables with the section they live in. Subprograms are functions in ".text". */
  symbols(): ElfSymbol[] {
    const table = this.#sections.find((section) => section.type === SHT_SYMTAB);
    const strings = table && this.#sections[table.link];
    if (table === undefined || strings === undefined) return [];
    const bytes = this.#content(table);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const symbols: ElfSymbol[] = [];
    for (let at = 0; at + 24 <= bytes.length; at += 24) {
      const info = view.getUint8(at + 4);
      const kind = info & 0xf;
      const index = view.getUint16(at + 6, true);
      if ((kind !== STT_FUNC && kind !== STT_OBJECT) || index === 0 || index >= SHN_LORESERVE) continue;
      symbols.push({
        name: cString(this.#bytes, strings.offset + view.getUint32(at, true)),
        kind: kind === STT_FUNC ? 'function' : 'variable',
        section: this.#sections[index]?.name ?? '',
        offset: Number(view.getBigUint64(at + 8, true)),
        global: info >> 4 === STB_GLOBAL,
      });
    }
    return symbols;
  }

  #content(header: SectionHeader): Uint8Array {
    if (header.type === SHT_NOBITS) return new Uint8Array(0);
    return this.#bytes.subarray(header.offset, header.offset + header.size);
  }
}

interface SectionHeader {
  readonly name: string;
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
}

function cString(bytes: Uint8Array, start: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, bytes.indexOf(0, start) - start).toString('latin1');
}
