/** A map's fd with everything calls on it need: the kernel's sizes, codecs that fit them, scratch memory. */

import type { Codec } from '../btf/codec.ts';
import { rawCodec, u32Codec } from '../btf/codec.ts';
import type { MapCodecs } from '../btf/map-codecs.ts';
import { mapInfo } from '../sys/info.ts';
import type { Libbpf } from '../sys/libbpf.ts';
import { libbpf } from '../sys/libbpf.ts';
import type { MapType } from '../sys/map.ts';
import { MAP_TYPES } from '../sys/map.ts';
import type { RawMap } from './map-batch.ts';

export interface Bound<K, V> extends RawMap {
  readonly lb: Libbpf;
  readonly typeNumber: number;
  readonly perCpu: boolean;
  readonly codecs: MapCodecs<K, V>;
  /** Scratch of one key (null: the map has none) and one value (all CPUs). */
  readonly key: Buffer | null;
  readonly value: Buffer;
  readonly keyView: DataView;
  readonly valueView: DataView;
}

const TYPE_NAMES = new Map<number, MapType>(
  Object.entries(MAP_TYPES).map(([name, number]) => [number, name as MapType]),
);
const PER_CPU: ReadonlySet<string> = new Set([
  'percpu_hash',
  'percpu_array',
  'lru_percpu_hash',
  'percpu_cgroup_storage',
] satisfies MapType[]);
/** Maps whose entries always exist. */
export const ARRAYS: ReadonlySet<string> = new Set(['array', 'percpu_array'] satisfies MapType[]);
const NOTHING: Codec<unknown> = { size: 0, decode: () => undefined, encode: () => {} };

/** Throws RangeError if a codec's size is not the map's: a shorter buffer would be overrun by the kernel. */
export function bindMap<K, V>(fd: number, name: string, codecs: Partial<MapCodecs<K, V>>): Bound<K, V> {
  const { type, keySize, valueSize, maxEntries } = mapInfo(fd);
  const perCpu = PER_CPU.has(mapTypeName(type));
  const stride = perCpu ? roundUp8(valueSize) : valueSize;
  const copies = perCpu ? libbpf().libbpf_num_possible_cpus() : 1;
  const key = keySize === 0 ? null : Buffer.alloc(Math.max(8, keySize));
  const value = Buffer.alloc(Math.max(8, stride * copies));
  return {
    name,
    lb: libbpf(),
    fd,
    typeNumber: type,
    keySize,
    valueSize,
    maxEntries,
    perCpu,
    stride,
    copies,
    codecs: { key: fitting(name, 'key', codecs.key, keySize), value: fitting(name, 'value', codecs.value, valueSize) },
    key,
    value,
    keyView: viewOf(key ?? Buffer.alloc(0)),
    valueView: viewOf(value),
  };
}

export function mapTypeName(type: number): MapType | `type ${number}` {
  return TYPE_NAMES.get(type) ?? `type ${type}`;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function roundUp8(size: number): number {
  return (size + 7) & ~7;
}

/** Size 0: ring buffers, keys of queues. Without a codec: u32 for 4 bytes, else bytes as they are. */
function fitting<T>(map: string, what: string, codec: Codec<T> | undefined, size: number): Codec<T> {
  if (size === 0) return NOTHING as Codec<T>;
  const actual = codec ?? ((size === 4 ? u32Codec : rawCodec(size)) as unknown as Codec<T>);
  if (actual.size !== size)
    throw new RangeError(`Cannot use map "${map}": its ${what} has ${size} bytes, the codec ${actual.size}`);
  return actual;
}
