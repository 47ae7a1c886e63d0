/** A BPF object file: open, adjust, load, use, close. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { Btf } from '../btf/btf.ts';
import type { Codec, CodecOptions } from '../btf/codec.ts';
import { codec } from '../btf/codec.ts';
import type { MapCodecs } from '../btf/map-codecs.ts';
import { ObjectHandle } from '../sys/object.ts';
import { GlobalData } from './global-data.ts';
import { BpfMap } from './map.ts';
import { BpfProgram } from './program.ts';

/** Types of one object, as `libbpf-ts gen` writes them. */
export interface ObjectShape {
  readonly maps: Record<string, readonly [unknown, unknown]>;
  readonly programs: string;
  readonly rodata: object;
  readonly data: object;
  readonly bss: object;
}

/** Without generated types: any map and program name, untyped values. */
export interface AnyShape {
  // biome-ignore lint/suspicious/noExplicitAny: the types are only in the object file.
  readonly maps: Record<string, readonly [any, any]>;
  readonly programs: string;
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  readonly rodata: Record<string, any>;
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  readonly data: Record<string, any>;
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  readonly bss: Record<string, any>;
}

export interface OpenOptions extends CodecOptions {
  /** Prefix of the names of the global data maps; default: the file's base name up to the first dot. */
  readonly objectName?: string;
  /** 0 (default): the verifier's log only when it rejects; 1, 2: always, see `BpfObject.loadLog`. */
  readonly kernelLogLevel?: number;
  /** Generated codecs by map name; maps not named here get codecs made from BTF. */
  readonly codecs?: Readonly<Record<string, MapCodecs<unknown, unknown>>>;
}

export class BpfObject<S extends ObjectShape = AnyShape> implements Disposable {
  readonly name: string;
  readonly btf: Btf;
  /** By name, in the order of the file; global data is not among them. */
  readonly maps: ReadonlyMap<string, BpfMap<unknown, unknown>>;
  readonly programs: ReadonlyMap<string, BpfProgram>;
  /** Constants: writable until `load()`, frozen after. */
  readonly rodata: S['rodata'];
  /** Variables; live memory after `load()`. */
  readonly data: S['data'];
  readonly bss: S['bss'];
  readonly #handle: ObjectHandle;
  readonly #sections: readonly GlobalData[];
  readonly #definitions: readonly (readonly [BpfMap<unknown, unknown>, { readonly fd: number }])[];
  #log = '';

  /**
   * `source`: path or content of an object compiled with `clang -target bpf -g`. Nothing is created in the kernel yet.
   * Throws BpfError with libbpf's words if the file is not usable.
   */
  static open<S extends ObjectShape = AnyShape>(source: string | Uint8Array, options: OpenOptions = {}): BpfObject<S> {
    const bytes = typeof source === 'string' ? readFileSync(source) : source;
    const name = options.objectName ?? (typeof source === 'string' ? (basename(source).split('.')[0] ?? '') : 'object');
    return new BpfObject<S>(bytes, name, options);
  }

  private constructor(bytes: Uint8Array, name: string, options: OpenOptions) {
    this.name = name;
    this.btf = Btf.fromObject(bytes);
    this.#handle = new ObjectHandle(bytes, name, options.kernelLogLevel ?? 0);
    const definitions = new Map(this.btf.mapDefinitions().map((definition) => [definition.name, definition]));
    const maps: [BpfMap<unknown, unknown>, { readonly fd: number }][] = [];
    const sections = new Map<string, GlobalData>();
    for (const handle of this.#handle.maps) {
      const section = /\.(rodata|data|bss|kconfig)(\..*)?$/.exec(handle.name)?.[0];
      if (section !== undefined && !definitions.has(handle.name)) {
        if (section !== '.kconfig') sections.set(section, new GlobalData(handle, section, this.btf, options));
        continue;
      }
      const { keyType = 0, valueType = 0 } = definitions.get(handle.name) ?? {};
      const codecs: { key?: Codec<unknown>; value?: Codec<unknown> } = { ...options.codecs?.[handle.name] };
      if (keyType !== 0) codecs.key ??= codec(this.btf, keyType, options);
      if (valueType !== 0) codecs.value ??= codec(this.btf, valueType, options);
      maps.push([new BpfMap<unknown, unknown>(handle.name, handle, codecs), handle]);
    }
    this.#definitions = maps;
    this.#sections = [...sections.values()];
    this.maps = new Map(maps.map(([map]) => [map.name, map]));
    this.programs = new Map(this.#handle.programs.map((handle) => [handle.name, new BpfProgram(handle)]));
    this.rodata = sections.get('.rodata')?.record ?? {};
    this.data = sections.get('.data')?.record ?? {};
    this.bss = sections.get('.bss')?.record ?? {};
  }

  /** Throws if there is no such map. `codecs` replace those made from BTF (generated ones are faster). */
  map<N extends keyof S['maps'] & string>(name: N): BpfMap<S['maps'][N][0], S['maps'][N][1]>;
  map<K, V>(name: string, codecs: MapCodecs<K, V>): BpfMap<K, V>;
  map(name: string, codecs?: MapCodecs<unknown, unknown>): BpfMap<unknown, unknown> {
    const map = this.maps.get(name);
    if (map === undefined) throw new Error(`BPF object "${this.name}" has no map "${name}": it has ${list(this.maps)}`);
    if (codecs !== undefined) map.useCodecs(codecs);
    return map;
  }

  /** Throws if there is no such program. */
  program(name: S['programs']): BpfProgram {
    const program = this.programs.get(name);
    if (program === undefined)
      throw new Error(`BPF object "${this.name}" has no program "${name}": it has ${list(this.programs)}`);
    return program;
  }

  /** Creates the maps and loads the programs. Throws BpfVerifierError (a program was rejected) or BpfError. */
  load(): this {
    return this.#loaded(this.#handle.load());
  }

  /** `load()` on a thread of libuv's pool: the event loop goes on. Until it settles the object cannot be used or closed. */
  async loadAsync(): Promise<this> {
    return this.#loaded(await this.#handle.loadAsync());
  }

  /** libbpf's and the verifier's log of a successful load with `kernelLogLevel` > 0. */
  get loadLog(): string {
    return this.#log;
  }

  /** Closes all fds. What is pinned or attached stays. */
  close(): void {
    this.#handle.requireIdle();
    for (const section of this.#sections) section.close();
    for (const map of this.maps.values()) map.detachClosed();
    this.#handle.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #loaded(log: string): this {
    this.#log = log;
    for (const [map, handle] of this.#definitions) if (handle.fd >= 0) map.attachLoaded(handle.fd);
    for (const section of this.#sections) section.publish();
    return this;
  }
}

function list(names: ReadonlyMap<string, unknown>): string {
  return [...names.keys()].map((name) => `"${name}"`).join(', ') || 'none';
}
