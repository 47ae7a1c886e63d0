/** The libc calls Node lacks. Buffers are passed as pointers to their bytes; the callee must not keep them. */
import { loadLibc } from './library.ts';

/** A native address. Never leaves `sys/`. */
export type Pointer = bigint;
export type Bytes = NodeJS.TypedArray | null;

const lib = loadLibc();
const bind = <F>(declaration: string): F => lib.func(declaration) as unknown as F;

export const libc = {
  mmap: bind<(addr: null, length: number, prot: number, flags: number, fd: number, offset: number) => Pointer>(
    'void *mmap(void *addr, size_t length, int prot, int flags, int fd, int64_t offset)',
  ),
  munmap: bind<(addr: Pointer, length: number) => number>('int munmap(void *addr, size_t length)'),
  madvise: bind<(addr: Pointer, length: number, advice: number) => number>(
    'int madvise(void *addr, size_t length, int advice)',
  ),
  free: bind<(addr: Pointer) => void>('void free(void *addr)'),
  vasprintf: bind<(out: [Pointer | null], format: Pointer, args: Pointer) => number>(
    'int vasprintf(_Out_ void **out, const void *format, void *args)',
  ),
  epollCreate: bind<(flags: number) => number>('int epoll_create1(int flags)'),
  epollCtl: bind<(epfd: number, op: number, fd: number, event: Bytes) => number>(
    'int epoll_ctl(int epfd, int op, int fd, void *event)',
  ),
  fcntl: bind<(fd: number, command: number, argument: number) => number>(
    'int fcntl(int fd, int command, int argument)',
  ),
  ifNameToIndex: bind<(name: string) => number>('uint32_t if_nametoindex(const char *name)'),
  setns: bind<(fd: number, type: number) => number>('int setns(int fd, int type)'),
  mount: bind<(source: string, target: string, type: string, flags: number, data: null) => number>(
    'int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data)',
  ),
  socket: bind<(domain: number, type: number, protocol: number) => number>(
    'int socket(int domain, int type, int protocol)',
  ),
  getsockopt: bind<(fd: number, level: number, name: number, value: Bytes, length: Bytes) => number>(
    'int getsockopt(int fd, int level, int name, void *value, void *length)',
  ),
  setsockopt: bind<(fd: number, level: number, name: number, value: Bytes, length: number) => number>(
    'int setsockopt(int fd, int level, int name, const void *value, uint32_t length)',
  ),
  sendto: bind<
    (fd: number, bytes: Bytes, length: number, flags: number, address: Bytes, addressLength: number) => number
  >(
    'int64_t sendto(int fd, const void *bytes, size_t length, int flags, const void *address, uint32_t address_length)',
  ),
  recv: bind<(fd: number, bytes: Bytes, length: number, flags: number) => number>(
    'int64_t recv(int fd, void *bytes, size_t length, int flags)',
  ),
} as const;
