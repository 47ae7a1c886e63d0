/**
 * A BPF map with typed keys and values. Codec sizes are compared with the kernel's sizes when the map becomes known, so
 * no call can write past a buffer. Batch calls and whole-map walks: `map-batch.ts`.
 */
import { closeSync } from 'node:fs';
import { rawCodec } from '../btf/codec.ts';
import type { MapCodecs } from '../btf/map-codecs.ts';
import { BpfError, EEXIST, ENOENT } from '../sys/error.ts';
import { mapInfo, objGet, objPin } from '../sys/info.ts';
import { libbpf } from '../sys/libbpf.ts';
import type { MapType, UpdateFlag } from '../sys/map.ts';
import { MAP_TYPES, mapCreate, UPDATE_FLAGS } from '../sys/map.ts';
import { Mapping } from '../sys/mapping.ts';
import type { MapHandle } from '../sys/object.ts';
import { deleteBatch, nextKeys, rawBatches, updateBatch } from './map-batch.ts';
import type { Bound } from './map-binding.ts';
import { ARRAYS, bindMap, mapTypeName, roundUp8, viewOf } from './map-binding.ts';

export interface MapCreateOptions<K, V> extends MapCodecs<K, V> {
  readonly type: MapType;
  readonly name: string;
  readonly maxEntries: number;
  /** BPF_F_* bits, see MAP_FLAGS. */
  readonly flags?: number;
  /** Template of array_of_maps and hash_of_maps. */
  readonly inner?: { readonly fd: number };
}

export class BpfMap<K = Uint8Array, V = Uint8Array> implements Disposable {
  readonly name: string;
  #definition: MapHandle | undefined;
  #codecs: Partial<MapCodecs<K, V>>;
  #bound: Bound<K, V> | undefined;
  #owned = false;
  #memory: Mapping | undefined;

  /** Use `BpfObject.map()`, `BpfMap.openPinned()`, `.fromFd()`, `.fromId()` or `.create()`. */
  constructor(name: string, definition: MapHandle | undefined, codecs: Partial<MapCodecs<K, V>>) {
    this.name = name;
    this.#definition = definition;
    this.#codecs = codecs;
  }

  /** Throws BpfError (ENOENT if there is no such pin), RangeError if a codec's size is not the map's. */
  static openPinned<K, V>(path: string, codecs: MapCodecs<K, V>): BpfMap<K, V> {
    return BpfMap.fromFd(objGet(path), codecs, path);
  }

  /** Takes over `fd`, also when it throws. */
  static fromFd<K, V>(fd: number, codecs: MapCodecs<K, V>, name?: string): BpfMap<K, V> {
    try {
      return new BpfMap<K, V>(name ?? mapInfo(fd).name, undefined, codecs).#bind(fd, true);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  static fromId<K, V>(id: number, codecs: MapCodecs<K, V>): BpfMap<K, V> {
    const fd = libbpf().bpf_map_get_fd_by_id(id);
    if (fd < 0) throw new BpfError(`open map id ${id}`, -fd);
    return BpfMap.fromFd(fd, codecs);
  }

  static create<K, V>(options: MapCreateOptions<K, V>): BpfMap<K, V> {
    const { type, name, key, value, maxEntries, flags = 0, inner } = options;
    const sizes = { keySize: key.size, valueSize: value.size, maxEntries };
    const fd = mapCreate({ type: MAP_TYPES[type], name, ...sizes, flags, innerFd: inner?.fd ?? 0 });
    return BpfMap.fromFd(fd, { key, value }, name);
  }

  /** For BpfObject: the map exists in the kernel now. @internal */
  attachLoaded(fd: number): void {
    this.#bind(fd, false);
  }

  /** For BpfObject: replaces the codecs; compares their sizes if the map is loaded. @internal */
  useCodecs(codecs: MapCodecs<K, V>): void {
    this.#codecs = codecs;
    if (this.#bound !== undefined) this.#bind(this.#bound.fd, this.#owned);
  }

  /** For BpfObject: the object, and with it this map's fd, is closed. @internal */
  detachClosed(): void {
    this.#memory?.close();
    this.#definition = undefined;
    if (!this.#owned) this.#bound = undefined;
  }

  /** Throws before load and after close. */
  get fd(): number {
    return this.#map.fd;
  }

  get type(): MapType | `type ${number}` {
    const number = this.#bound?.typeNumber ?? this.#unloaded().definition.type;
    return mapTypeName(number);
  }

  get keySize(): number {
    return this.#bound?.keySize ?? this.#unloaded().definition.keySize;
  }

  /** Bytes of one value; per-CPU maps have one for every possible CPU. */
  get valueSize(): number {
    return this.#bound?.valueSize ?? this.#unloaded().definition.valueSize;
  }

  get maxEntries(): number {
    return this.#bound?.maxEntries ?? this.#unloaded().definition.maxEntries;
  }

  /** Before load: capacity. Bytes of a ring buffer, a power of two times the page size. */
  setMaxEntries(count: number): void {
    this.#unloaded().setMaxEntries(count);
  }

  /** Before load: false leaves the map out (programs that use it must not be loaded). */
  setAutocreate(autocreate: boolean): void {
    this.#unloaded().setAutocreate(autocreate);
  }

  /** Before load: use an existing map (pinned by an earlier run). Type and sizes must be those of the object. */
  reuseFd(fd: number): void {
    const definition = this.#unloaded();
    const wanted = definition.definition;
    const found = mapInfo(fd);
    for (const field of ['type', 'keySize', 'valueSize'] as const)
      if (wanted[field] !== found[field])
        throw new RangeError(
          `Cannot reuse map for "${this.name}": ${field} is ${found[field]}, wanted ${wanted[field]}`,
        );
    definition.reuseFd(fd);
  }

  get(key: K): V | undefined {
    const map = this.#single();
    map.codecs.key.encode(map.keyView, 0, key);
    const result = map.lb.bpf_map_lookup_elem(map.fd, map.key, map.value);
    if (result < 0) return absent(result, 'look up in', this.name);
    return map.codecs.value.decode(map.valueView, 0);
  }

  /** 'noexist' throws EEXIST if the key is there, 'exist' ENOENT if it is not. A full hash map throws E2BIG. */
  set(key: K, value: V, flag: UpdateFlag = 'any'): void {
    const map = this.#single();
    map.codecs.key.encode(map.keyView, 0, key);
    map.codecs.value.encode(map.valueView, 0, value);
    const result = map.lb.bpf_map_update_elem(map.fd, map.key, map.value, UPDATE_FLAGS[flag]);
    if (result < 0) throw updateError(this.name, result, flag);
  }

  has(key: K): boolean {
    const map = this.#map;
    map.codecs.key.encode(map.keyView, 0, key);
    const result = map.lb.bpf_map_lookup_elem(map.fd, map.key, map.value);
    return result >= 0 || absent(result, 'look up in', this.name) !== undefined;
  }

  /** False if the key was not there. Array maps cannot delete (EINVAL). */
  delete(key: K): boolean {
    const map = this.#map;
    map.codecs.key.encode(map.keyView, 0, key);
    const result = map.lb.bpf_map_delete_elem(map.fd, map.key);
    return result >= 0 || absent(result, 'delete from', this.name) !== undefined;
  }

  /** Also pops from queues and stacks, whose key is ignored. */
  lookupAndDelete(key: K): V | undefined {
    const map = this.#single();
    map.codecs.key.encode(map.keyView, 0, key);
    const result = map.lb.bpf_map_lookup_and_delete_elem(map.fd, map.key, map.value);
    if (result < 0) return absent(result, 'look up and delete in', this.name);
    return map.codecs.value.decode(map.valueView, 0);
  }

  /** One value for every possible CPU. */
  getPerCpu(key: K): V[] | undefined {
    const map = this.#perCpu();
    map.codecs.key.encode(map.keyView, 0, key);
    const result = map.lb.bpf_map_lookup_elem(map.fd, map.key, map.value);
    if (result < 0) return absent(result, 'look up in', this.name);
    return this.#decodePerCpu(map, map.valueView, 0);
  }

  /** `values`: one for every possible CPU. */
  setPerCpu(key: K, values: readonly V[], flag: UpdateFlag = 'any'): void {
    const map = this.#perCpu();
    if (values.length !== map.copies)
      throw new RangeError(`Cannot set map "${this.name}": ${values.length} values, wanted ${map.copies}`);
    map.codecs.key.encode(map.keyView, 0, key);
    for (const [cpu, value] of values.entries()) map.codecs.value.encode(map.valueView, cpu * map.stride, value);
    const result = map.lb.bpf_map_update_elem(map.fd, map.key, map.value, UPDATE_FLAGS[flag]);
    if (result < 0) throw updateError(this.name, result, flag);
  }

  /** Deleting the key just yielded is safe. Keys added or deleted meanwhile may be missed or repeat. */
  *keys(): Generator<K> {
    const map = this.#map;
    for (const key of nextKeys(map)) yield map.codecs.key.decode(viewOf(key), 0);
  }

  entries(): Generator<[K, V]> {
    return this.entriesBatch();
  }

  /** Walks in batches, one system call for `chunk` entries. */
  *entriesBatch({ chunk }: { chunk?: number } = {}): Generator<[K, V]> {
    const map = this.#single();
    const { key, value } = map.codecs;
    for (const { keys, values, count } of rawBatches(map, chunk))
      for (let index = 0; index < count; index++)
        yield [key.decode(keys, index * map.keySize), value.decode(values, index * map.stride)];
  }

  *entriesPerCpu({ chunk }: { chunk?: number } = {}): Generator<[K, V[]]> {
    const map = this.#perCpu();
    for (const { keys, values, count } of rawBatches(map, chunk))
      for (let index = 0; index < count; index++)
        yield [
          map.codecs.key.decode(keys, index * map.keySize),
          this.#decodePerCpu(map, values, index * map.stride * map.copies),
        ];
  }

  /** Returns the number written. On an error the entries before it are written; its message says how many. */
  updateBatch(entries: Iterable<readonly [K, V]>, { chunk, flag }: { chunk?: number; flag?: UpdateFlag } = {}): number {
    const map = this.#single();
    return updateBatch(map, map.codecs, entries, chunk, flag ?? 'any');
  }

  /** Returns the number deleted; keys that are not there are skipped. */
  deleteBatch(keys: Iterable<K>, { chunk }: { chunk?: number } = {}): number {
    const map = this.#map;
    return deleteBatch(map, map.codecs.key, keys, chunk);
  }

  /** Entries now. Walks hash maps. */
  count(): number {
    const counting = this.counting();
    for (;;) {
      const { done, value } = counting.next();
      if (done) return value;
    }
  }

  /** `count()` in steps of `chunk` entries, for whoever has something else to do meanwhile. */
  *counting({ chunk }: { chunk?: number } = {}): Generator<undefined, number> {
    const map = this.#map;
    if (ARRAYS.has(this.type)) return map.maxEntries;
    let count = 0;
    for (const batch of rawBatches(map, chunk)) {
      count += batch.count;
      yield;
    }
    return count;
  }

  /** Deletes every entry; writes zeros to arrays. Entries added meanwhile may stay. */
  clear(): void {
    const map = this.#map;
    if (ARRAYS.has(this.type)) {
      map.value.fill(0);
      for (let index = 0; index < map.maxEntries; index++) {
        map.keyView.setUint32(0, index, true);
        const result = map.lb.bpf_map_update_elem(map.fd, map.key, map.value, 0);
        if (result < 0) throw updateError(this.name, result, 'any');
      }
      return;
    }
    const keys: Uint8Array[] = [];
    for (const { keys: view, count } of rawBatches(map))
      for (let index = 0; index < count; index++)
        keys.push(new Uint8Array(view.buffer, view.byteOffset + index * map.keySize, map.keySize).slice());
    deleteBatch(map, rawCodec(map.keySize), keys, undefined);
  }

  /** Memory shared with the kernel, of arrays created with MAP_FLAGS.mmapable. Detached by `close()`. */
  mmap(): ArrayBuffer {
    const map = this.#map;
    const length = map.maxEntries * roundUp8(map.valueSize);
    this.#memory ??= Mapping.open(map.fd, length, 'write', 0, `map "${this.name}"`);
    return this.#memory.buffer;
  }

  /** The pin must not exist yet. */
  pin(path: string): void {
    objPin(this.fd, path);
  }

  /** Closes an fd this object owns (opened, created). Maps of an object are closed with the object. */
  close(): void {
    this.#memory?.close();
    if (!this.#owned || this.#bound === undefined) return;
    const { fd } = this.#bound;
    this.#bound = undefined;
    this.#owned = false;
    closeSync(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #bind(fd: number, owned: boolean): this {
    this.#bound = bindMap(fd, this.name, this.#codecs);
    this.#owned = owned;
    return this;
  }

  get #map(): Bound<K, V> {
    if (this.#bound !== undefined) return this.#bound;
    throw new Error(`BPF map "${this.name}" is ${this.#definition === undefined ? 'closed' : 'not loaded'}`);
  }

  #single(): Bound<K, V> {
    const map = this.#map;
    if (map.perCpu) throw new TypeError(`BPF map "${this.name}" is per-CPU: use getPerCpu, setPerCpu, entriesPerCpu`);
    return map;
  }

  #perCpu(): Bound<K, V> {
    const map = this.#map;
    if (!map.perCpu) throw new TypeError(`BPF map "${this.name}" is not per-CPU`);
    return map;
  }

  #decodePerCpu(map: Bound<K, V>, view: DataView, offset: number): V[] {
    return Array.from({ length: map.copies }, (_, cpu) => map.codecs.value.decode(view, offset + cpu * map.stride));
  }

  #unloaded(): MapHandle {
    if (this.#bound !== undefined || this.#definition === undefined)
      throw new Error(`BPF map "${this.name}" is ${this.#bound ? 'loaded' : 'closed'}: its definition is fixed`);
    return this.#definition;
  }
}

function absent(result: number, verb: string, map: string): undefined {
  if (result === -ENOENT) return undefined;
  throw new BpfError(`${verb} map "${map}"`, -result);
}

function updateError(map: string, result: number, flag: UpdateFlag): BpfError {
  const hint = result === -EEXIST && flag === 'noexist' ? { hint: 'the key exists' } : {};
  return new BpfError(`update map "${map}"`, -result, hint);
}
