/** Many entries per system call. Map types without batch operations (ENOTSUPP) fall back to one call per entry. */
import type { Codec } from '../btf/codec.ts';
import { BpfError, ENOENT, ENOSPC, ENOTSUPP } from '../sys/error.ts';
import { libbpf } from '../sys/libbpf.ts';
import type { UpdateFlag } from '../sys/map.ts';
import { batchOpts, UPDATE_FLAGS } from '../sys/map.ts';

/** More entries per call do not get faster. */
const MOST_ENTRIES = 4096;
const MOST_BYTES = 1 << 22;

export interface RawMap {
  readonly name: string;
  readonly fd: number;
  readonly keySize: number;
  readonly valueSize: number;
  /** 0: the kernel sets no limit. */
  readonly maxEntries: number;
  /** Bytes between the values of two CPUs; of other maps the value size. */
  readonly stride: number;
  /** Values per key: possible CPUs, or 1. */
  readonly copies: number;
}

export interface RawBatch {
  /** Views of scratch memory: valid until the next batch. */
  readonly keys: DataView;
  readonly values: DataView;
  readonly count: number;
}

/** All entries; concurrent changes may be missed or seen twice. */
export function* rawBatches(map: RawMap, chunk = chunkOf(map)): Generator<RawBatch> {
  const lb = libbpf();
  let scratch = new Scratch(map, chunk);
  // Opaque position: 4 bytes for hash maps, a key for tries and arrays.
  const from = Buffer.alloc(Math.max(16, map.keySize));
  const next = Buffer.alloc(Math.max(16, map.keySize));
  const opts = batchOpts(0);
  for (let first = true; ; ) {
    scratch.count[0] = scratch.capacity;
    const result = lb.bpf_map_lookup_batch(
      map.fd,
      first ? null : from,
      next,
      scratch.keys,
      scratch.values,
      scratch.count,
      opts,
    );
    if (result === -ENOTSUPP && first) return yield* rawSingles(map);
    if (result === -ENOSPC) {
      // One hash bucket holds more entries than fit.
      scratch = new Scratch(map, scratch.capacity * 2);
      continue;
    }
    if (result < 0 && result !== -ENOENT) throw new BpfError(`read map "${map.name}" in batches`, -result);
    const count = scratch.count[0] ?? 0;
    if (count > 0) yield { keys: scratch.keyView, values: scratch.valueView, count };
    if (result === -ENOENT) return;
    next.copy(from);
    first = false;
  }
}

/** The next key is read before one is yielded, so deleting the yielded key does not restart the walk. */
export function* nextKeys(map: RawMap): Generator<Buffer> {
  const lb = libbpf();
  let current: Buffer | null = null;
  for (;;) {
    const next: Buffer = Buffer.alloc(Math.max(8, map.keySize));
    const result = lb.bpf_map_get_next_key(map.fd, current, next);
    if (result < 0 && result !== -ENOENT) throw new BpfError(`read keys of map "${map.name}"`, -result);
    if (current !== null) yield current;
    if (result < 0) return;
    current = next;
  }
}

export function updateBatch<K, V>(
  map: RawMap,
  codecs: { readonly key: Codec<K>; readonly value: Codec<V> },
  entries: Iterable<readonly [K, V]>,
  chunk = chunkOf(map),
  flag: UpdateFlag = 'any',
): number {
  const lb = libbpf();
  const scratch = new Scratch(map, chunk);
  const opts = batchOpts(UPDATE_FLAGS[flag]);
  let batched = true;
  let total = 0;
  let filled = 0;
  const fail = (result: number): never => {
    throw new BpfError(`update map "${map.name}" in batches (${total} written before)`, -result);
  };
  const flush = (): void => {
    if (batched) {
      scratch.count[0] = filled;
      const result = lb.bpf_map_update_batch(map.fd, scratch.keys, scratch.values, scratch.count, opts);
      if (result === -ENOTSUPP && total === 0) batched = false;
      else {
        total += scratch.count[0] ?? 0;
        if (result < 0) fail(result);
      }
    }
    if (!batched)
      for (let index = 0; index < filled; index++) {
        const result = lb.bpf_map_update_elem(map.fd, scratch.keyAt(index), scratch.valueAt(index), UPDATE_FLAGS[flag]);
        if (result < 0) fail(result);
        total++;
      }
    filled = 0;
  };
  for (const [key, value] of entries) {
    codecs.key.encode(scratch.keyView, filled * map.keySize, key);
    codecs.value.encode(scratch.valueView, filled * map.stride, value);
    if (++filled === scratch.capacity) flush();
  }
  if (filled > 0) flush();
  return total;
}

export function deleteBatch<K>(map: RawMap, codec: Codec<K>, keys: Iterable<K>, chunk = chunkOf(map)): number {
  const lb = libbpf();
  const scratch = new Scratch({ ...map, stride: 0, copies: 0 }, chunk);
  const opts = batchOpts(0);
  let batched = true;
  let total = 0;
  let filled = 0;
  const op = (): string => `delete from map "${map.name}" in batches (${total} deleted before)`;
  const flush = (): void => {
    // A missing key stops the kernel at its position: skip it and go on.
    for (let start = 0; batched && start < filled; ) {
      scratch.count[0] = filled - start;
      const result = lb.bpf_map_delete_batch(map.fd, scratch.keys.subarray(start * map.keySize), scratch.count, opts);
      if (result === -ENOTSUPP && total === 0) {
        batched = false;
        break;
      }
      const done = scratch.count[0] ?? 0;
      total += done;
      if (result < 0 && result !== -ENOENT) throw new BpfError(op(), -result);
      start += result === -ENOENT ? done + 1 : done;
      if (result >= 0) break;
    }
    if (!batched)
      for (let index = 0; index < filled; index++) {
        const result = lb.bpf_map_delete_elem(map.fd, scratch.keyAt(index));
        if (result >= 0) total++;
        else if (result !== -ENOENT) throw new BpfError(op(), -result);
      }
    filled = 0;
  };
  for (const key of keys) {
    codec.encode(scratch.keyView, filled * map.keySize, key);
    if (++filled === scratch.capacity) flush();
  }
  if (filled > 0) flush();
  return total;
}

function chunkOf({ maxEntries, keySize, stride, copies }: RawMap): number {
  const fitting = Math.floor(MOST_BYTES / (keySize + stride * copies));
  return Math.max(1, Math.min(MOST_ENTRIES, fitting, maxEntries || MOST_ENTRIES));
}

function* rawSingles(map: RawMap): Generator<RawBatch> {
  const lb = libbpf();
  const scratch = new Scratch(map, 1);
  for (const key of nextKeys(map)) {
    key.copy(scratch.keys, 0, 0, map.keySize);
    const result = lb.bpf_map_lookup_elem(map.fd, scratch.keys, scratch.values);
    if (result === -ENOENT) continue;
    if (result < 0) throw new BpfError(`read map "${map.name}"`, -result);
    yield { keys: scratch.keyView, values: scratch.valueView, count: 1 };
  }
}

/** Room for `capacity` keys and their values. */
class Scratch {
  readonly capacity: number;
  readonly keys: Buffer;
  readonly values: Buffer;
  readonly keyView: DataView;
  readonly valueView: DataView;
  readonly count = new Uint32Array(1);
  readonly #map: RawMap;

  constructor(map: RawMap, capacity: number) {
    const width = map.stride * map.copies;
    this.capacity = capacity;
    this.keys = Buffer.alloc(Math.max(8, capacity * map.keySize));
    this.values = Buffer.alloc(Math.max(8, capacity * width));
    this.keyView = new DataView(this.keys.buffer, this.keys.byteOffset, this.keys.length);
    this.valueView = new DataView(this.values.buffer, this.values.byteOffset, this.values.length);
    this.#map = map;
  }

  keyAt(index: number): Buffer {
    return this.keys.subarray(index * this.#map.keySize, (index + 1) * this.#map.keySize);
  }

  valueAt(index: number): Buffer {
    return this.values.subarray(index * this.#map.stride, (index + 1) * this.#map.stride);
  }
}
