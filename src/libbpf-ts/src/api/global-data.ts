/**
 * Global variables of an object (.rodata, .data, .bss) as a record of typed properties.
 * Before load they are libbpf's initial values; after it .data and .bss are the kernel's memory (mapped by us: libbpf 1.1
 * hands out a private copy) and .rodata is a frozen copy.
 */
import type { Btf } from '../btf/btf.ts';
import type { Codec, CodecOptions } from '../btf/codec.ts';
import { codec } from '../btf/codec.ts';
import { Mapping } from '../sys/mapping.ts';
import type { MapHandle } from '../sys/object.ts';

export class GlobalData {
  /** Enumerable accessors by variable name. */
  readonly record: Record<string, unknown> = {};
  readonly #handle: MapHandle;
  readonly #section: string;
  #view: DataView | undefined;
  #mapping: Mapping | undefined;
  #frozen = false;

  constructor(handle: MapHandle, section: string, btf: Btf, options: CodecOptions) {
    this.#handle = handle;
    this.#section = section;
    const initial = handle.initialValue();
    this.#view = initial && new DataView(initial);
    if (!btf.has(section)) return;
    for (const { type, offset } of btf.find(section).variables) this.#define(btf, type, offset, options);
  }

  /** The object is loaded: switch to the kernel's memory. */
  publish(): void {
    const size = this.#view?.byteLength ?? 0;
    if (this.#section.startsWith('.rodata')) {
      if (this.#view !== undefined) this.#view = new DataView(this.#view.buffer.slice(0));
      this.#frozen = true;
      return;
    }
    this.#mapping = Mapping.open(this.#handle.fd, size, 'write', 0, this.#section);
    this.#view = new DataView(this.#mapping.buffer);
  }

  close(): void {
    this.#mapping?.close();
    if (!this.#frozen) this.#view = undefined;
  }

  #define(btf: Btf, type: number, offset: number, options: CodecOptions): void {
    const variable = btf.type(type);
    let lazy: Codec<unknown> | undefined;
    const typed = (): Codec<unknown> => {
      lazy ??= codec(btf, variable.type, options);
      return lazy;
    };
    Object.defineProperty(this.record, variable.name, {
      enumerable: true,
      get: () => typed().decode(this.#memory(), offset),
      set: (value: unknown) => {
        if (this.#frozen) throw new Error(`Cannot set "${variable.name}": ${this.#section} is frozen after load`);
        typed().encode(this.#memory(), offset, value);
      },
    });
  }

  #memory(): DataView {
    if (this.#view === undefined) throw new Error(`Cannot access ${this.#section}: the BPF object is closed`);
    return this.#view;
  }
}
