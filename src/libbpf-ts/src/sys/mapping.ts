/** Shared memory with the kernel. A view that outlives `close()` throws on Node >= 22 and is left mapped on Node 20. */
import koffi from 'koffi';
import { BpfError } from './error.ts';
import type { Pointer } from './libc.ts';
import { libc } from './libc.ts';

export const PAGE_SIZE = 4096;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

export class Mapping {
  /** Writing to a read-only mapping kills the process: hand out DataViews of it only where nobody writes. */
  readonly buffer: ArrayBuffer;
  readonly #address: Pointer;
  readonly #length: number;
  #closed = false;

  private constructor(address: Pointer, length: number) {
    this.#address = address;
    this.#length = length;
    this.buffer = koffi.view(address, length);
  }

  /** `length` is rounded up to pages. */
  static open(fd: number, length: number, access: 'read' | 'write', offset: number, what: string): Mapping {
    const size = Math.ceil(length / PAGE_SIZE) * PAGE_SIZE;
    const protection = access === 'write' ? PROT_READ | PROT_WRITE : PROT_READ;
    const address = libc.mmap(null, size, protection, MAP_SHARED, fd, offset);
    if (address === MAP_FAILED) throw new BpfError(`mmap ${what}`, koffi.errno());
    return new Mapping(address, size);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // Detach first: a stale view then throws a TypeError instead of touching unmapped memory. Node 20 cannot detach
    // foreign memory, there the mapping stays for the life of the process.
    const buffer = this.buffer as ArrayBuffer & { transfer?: () => ArrayBuffer };
    if (buffer.transfer === undefined || Number(process.versions.node.split('.')[0]) < 22) return;
    buffer.transfer();
    if (buffer.byteLength === 0) libc.munmap(this.#address, this.#length);
  }
}
