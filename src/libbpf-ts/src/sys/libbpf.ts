/** The libbpf symbols in use, under libbpf's own names. Signatures: bpf/libbpf.h and bpf/bpf.h of libbpf 1.1. */

import type { Bytes, Pointer } from './libc.ts';
import { loadLibbpf } from './library.ts';

export type Libbpf = ReturnType<typeof bindAll>;

/** `.async` runs on a thread of libuv's pool. */
type Asynchronous<F extends (...args: never[]) => unknown> = F & {
  async: (...args: [...Parameters<F>, done: (error: unknown, result: ReturnType<F>) => void]) => void;
};

let table: Libbpf | undefined;

/** Opens libbpf on the first call; throws a clear error if it is not installed. */
export function libbpf(): Libbpf {
  table ??= bindAll();
  return table;
}

function bindAll() {
  const lib = loadLibbpf();
  const bind = <F>(declaration: string): F => {
    try {
      return lib.func(declaration) as unknown as F;
    } catch (cause) {
      throw new Error(`Cannot use libbpf: "${declaration}" is missing, wanted libbpf >= 1.0`, { cause });
    }
  };
  const symbols = {
    libbpf_version_string: bind<() => string>('const char *libbpf_version_string()'),
    libbpf_num_possible_cpus: bind<() => number>('int libbpf_num_possible_cpus()'),
    libbpf_set_print: bind<(callback: Pointer | null) => Pointer | null>('void *libbpf_set_print(void *callback)'),
    libbpf_probe_bpf_map_type: bind<(type: number, opts: null) => number>(
      'int libbpf_probe_bpf_map_type(uint32_t type, const void *opts)',
    ),
    libbpf_probe_bpf_prog_type: bind<(type: number, opts: null) => number>(
      'int libbpf_probe_bpf_prog_type(uint32_t type, const void *opts)',
    ),

    bpf_object__open_mem: bind<(bytes: Bytes, size: number, opts: Bytes) => Pointer | null>(
      'void *bpf_object__open_mem(const void *bytes, size_t size, const void *opts)',
    ),
    bpf_object__load: bind<Asynchronous<(object: Pointer) => number>>('int bpf_object__load(void *object)'),
    bpf_object__close: bind<(object: Pointer) => void>('void bpf_object__close(void *object)'),
    bpf_object__next_map: bind<(object: Pointer, previous: Pointer | null) => Pointer | null>(
      'void *bpf_object__next_map(void *object, void *previous)',
    ),
    bpf_object__next_program: bind<(object: Pointer, previous: Pointer | null) => Pointer | null>(
      'void *bpf_object__next_program(void *object, void *previous)',
    ),

    bpf_map__fd: bind<(map: Pointer) => number>('int bpf_map__fd(void *map)'),
    bpf_map__name: bind<(map: Pointer) => string>('const char *bpf_map__name(void *map)'),
    bpf_map__type: bind<(map: Pointer) => number>('uint32_t bpf_map__type(void *map)'),
    bpf_map__key_size: bind<(map: Pointer) => number>('uint32_t bpf_map__key_size(void *map)'),
    bpf_map__value_size: bind<(map: Pointer) => number>('uint32_t bpf_map__value_size(void *map)'),
    bpf_map__max_entries: bind<(map: Pointer) => number>('uint32_t bpf_map__max_entries(void *map)'),
    bpf_map__set_max_entries: bind<(map: Pointer, count: number) => number>(
      'int bpf_map__set_max_entries(void *map, uint32_t count)',
    ),
    bpf_map__set_autocreate: bind<(map: Pointer, autocreate: boolean) => number>(
      'int bpf_map__set_autocreate(void *map, bool autocreate)',
    ),
    bpf_map__reuse_fd: bind<(map: Pointer, fd: number) => number>('int bpf_map__reuse_fd(void *map, int fd)'),
    bpf_map__initial_value: bind<(map: Pointer, size: [number]) => Pointer | null>(
      'void *bpf_map__initial_value(void *map, _Out_ size_t *size)',
    ),

    bpf_program__fd: bind<(program: Pointer) => number>('int bpf_program__fd(void *program)'),
    bpf_program__name: bind<(program: Pointer) => string>('const char *bpf_program__name(void *program)'),
    bpf_program__section_name: bind<(program: Pointer) => string>(
      'const char *bpf_program__section_name(void *program)',
    ),
    bpf_program__type: bind<(program: Pointer) => number>('uint32_t bpf_program__type(void *program)'),
    bpf_program__expected_attach_type: bind<(program: Pointer) => number>(
      'uint32_t bpf_program__expected_attach_type(void *program)',
    ),
    bpf_program__autoload: bind<(program: Pointer) => boolean>('bool bpf_program__autoload(void *program)'),
    bpf_program__set_autoload: bind<(program: Pointer, autoload: boolean) => number>(
      'int bpf_program__set_autoload(void *program, bool autoload)',
    ),
    bpf_program__attach: bind<(program: Pointer) => Pointer | null>('void *bpf_program__attach(void *program)'),

    bpf_link__fd: bind<(link: Pointer) => number>('int bpf_link__fd(void *link)'),
    bpf_link__destroy: bind<(link: Pointer) => number>('int bpf_link__destroy(void *link)'),
    bpf_link_create: bind<(programFd: number, targetFd: number, attachType: number, opts: Bytes) => number>(
      'int bpf_link_create(int program_fd, int target_fd, uint32_t attach_type, const void *opts)',
    ),
    bpf_link_update: bind<(linkFd: number, programFd: number, opts: Bytes) => number>(
      'int bpf_link_update(int link_fd, int program_fd, const void *opts)',
    ),
    bpf_link_detach: bind<(linkFd: number) => number>('int bpf_link_detach(int link_fd)'),
    bpf_iter_create: bind<(linkFd: number) => number>('int bpf_iter_create(int link_fd)'),

    bpf_tc_hook_create: bind<(hook: Bytes) => number>('int bpf_tc_hook_create(void *hook)'),
    bpf_tc_hook_destroy: bind<(hook: Bytes) => number>('int bpf_tc_hook_destroy(void *hook)'),
    bpf_tc_attach: bind<(hook: Bytes, opts: Bytes) => number>('int bpf_tc_attach(const void *hook, void *opts)'),
    bpf_tc_query: bind<(hook: Bytes, opts: Bytes) => number>('int bpf_tc_query(const void *hook, void *opts)'),
    bpf_tc_detach: bind<(hook: Bytes, opts: Bytes) => number>('int bpf_tc_detach(const void *hook, const void *opts)'),

    bpf_map_create: bind<
      (type: number, name: string, keySize: number, valueSize: number, maxEntries: number, opts: Bytes) => number
    >(
      'int bpf_map_create(uint32_t type, const char *name, uint32_t key_size, uint32_t value_size, uint32_t max_entries, const void *opts)',
    ),
    bpf_map_update_elem: bind<(fd: number, key: Bytes, value: Bytes, flags: number) => number>(
      'int bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags)',
    ),
    bpf_map_lookup_elem: bind<(fd: number, key: Bytes, value: Bytes) => number>(
      'int bpf_map_lookup_elem(int fd, const void *key, void *value)',
    ),
    bpf_map_lookup_and_delete_elem: bind<(fd: number, key: Bytes, value: Bytes) => number>(
      'int bpf_map_lookup_and_delete_elem(int fd, const void *key, void *value)',
    ),
    bpf_map_delete_elem: bind<(fd: number, key: Bytes) => number>('int bpf_map_delete_elem(int fd, const void *key)'),
    bpf_map_get_next_key: bind<(fd: number, key: Bytes, next: Bytes) => number>(
      'int bpf_map_get_next_key(int fd, const void *key, void *next)',
    ),
    bpf_map_update_batch: bind<(fd: number, keys: Bytes, values: Bytes, count: Bytes, opts: Bytes) => number>(
      'int bpf_map_update_batch(int fd, const void *keys, const void *values, void *count, const void *opts)',
    ),
    bpf_map_lookup_batch: bind<
      (fd: number, from: Bytes, next: Bytes, keys: Bytes, values: Bytes, count: Bytes, opts: Bytes) => number
    >(
      'int bpf_map_lookup_batch(int fd, void *from, void *next, void *keys, void *values, void *count, const void *opts)',
    ),
    bpf_map_delete_batch: bind<(fd: number, keys: Bytes, count: Bytes, opts: Bytes) => number>(
      'int bpf_map_delete_batch(int fd, const void *keys, void *count, const void *opts)',
    ),
    bpf_map_get_fd_by_id: bind<(id: number) => number>('int bpf_map_get_fd_by_id(uint32_t id)'),
    bpf_prog_get_fd_by_id: bind<(id: number) => number>('int bpf_prog_get_fd_by_id(uint32_t id)'),
    bpf_link_get_fd_by_id: bind<(id: number) => number>('int bpf_link_get_fd_by_id(uint32_t id)'),

    bpf_obj_get: bind<(path: string) => number>('int bpf_obj_get(const char *path)'),
    bpf_obj_pin: bind<(fd: number, path: string) => number>('int bpf_obj_pin(int fd, const char *path)'),
    bpf_obj_get_info_by_fd: bind<(fd: number, info: Bytes, length: Bytes) => number>(
      'int bpf_obj_get_info_by_fd(int fd, void *info, void *length)',
    ),
    bpf_prog_test_run_opts: bind<(fd: number, opts: Bytes) => number>('int bpf_prog_test_run_opts(int fd, void *opts)'),
  } as const;
  // libbpf prints to stderr by default and the setting is process-wide: silent, except while `captured()` runs.
  symbols.libbpf_set_print(null);
  return symbols;
}
