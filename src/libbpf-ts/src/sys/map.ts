/** Map creation and element calls by fd, on whole buffers. Sizes are checked by the caller (`api/map.ts`). */
import { check } from './error.ts';
import { libbpf } from './libbpf.ts';
import { Struct } from './opts.ts';

/** BPF_ANY, BPF_NOEXIST, BPF_EXIST. */
export const UPDATE_FLAGS = { any: 0, noexist: 1, exist: 2 } as const;
export type UpdateFlag = keyof typeof UPDATE_FLAGS;

/** enum bpf_map_type. */
export const MAP_TYPES = {
  hash: 1,
  array: 2,
  prog_array: 3,
  perf_event_array: 4,
  percpu_hash: 5,
  percpu_array: 6,
  stack_trace: 7,
  cgroup_array: 8,
  lru_hash: 9,
  lru_percpu_hash: 10,
  lpm_trie: 11,
  array_of_maps: 12,
  hash_of_maps: 13,
  devmap: 14,
  sockmap: 15,
  cpumap: 16,
  xskmap: 17,
  sockhash: 18,
  cgroup_storage: 19,
  reuseport_sockarray: 20,
  percpu_cgroup_storage: 21,
  queue: 22,
  stack: 23,
  sk_storage: 24,
  devmap_hash: 25,
  struct_ops: 26,
  ringbuf: 27,
  inode_storage: 28,
  task_storage: 29,
  bloom_filter: 30,
  user_ringbuf: 31,
  cgrp_storage: 32,
  arena: 33,
} as const;
export type MapType = keyof typeof MAP_TYPES;

/** BPF_F_* of map creation. */
export const MAP_FLAGS = { noPrealloc: 1, noCommonLru: 2, mmapable: 1 << 10, innerMap: 1 << 12 } as const;

export interface MapCreate {
  readonly type: number;
  readonly name: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly innerFd: number;
}

/** Returns an fd the caller owns. */
export function mapCreate({ type, name, keySize, valueSize, maxEntries, flags, innerFd }: MapCreate): number {
  // struct bpf_map_create_opts: inner_map_fd at 24, map_flags at 28.
  const opts = Struct.opts(48).u32(24, innerFd).u32(28, flags);
  const result = libbpf().bpf_map_create(type, name.slice(0, 15), keySize, valueSize, maxEntries, opts.bytes);
  return check(result, () => `create map "${name}"`);
}

/** struct bpf_map_batch_opts with elem_flags. */
export function batchOpts(elementFlags: number): Buffer {
  return Struct.opts(24).u64(8, elementFlags).bytes;
}
