/**
 * Extensible C structs: libbpf's `*_opts` (the first field is the size) and the kernel's info structs.
 * Buffers whose address was stored stay alive until `release()`, which every user calls after the foreign call.
 */
import koffi from 'koffi';

export class Struct {
  readonly bytes: Buffer;
  readonly view: DataView;
  #kept: Uint8Array[] = [];

  private constructor(size: number) {
    this.bytes = Buffer.alloc(size);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, size);
  }

  /** A zeroed struct of `size` bytes. */
  static zeroed(size: number): Struct {
    return new Struct(size);
  }

  /** A zeroed opts struct whose leading `size_t sz` is set. */
  static opts(size: number): Struct {
    const struct = new Struct(size);
    struct.u64(0, size);
    return struct;
  }

  u32(offset: number, value: number): this {
    this.view.setUint32(offset, value, true);
    return this;
  }

  u64(offset: number, value: number | bigint): this {
    this.view.setBigUint64(offset, BigInt(value), true);
    return this;
  }

  /** Stores the address of `bytes`, or NULL. */
  pointer(offset: number, bytes: Uint8Array | undefined): this {
    if (bytes === undefined || bytes.length === 0) return this.u64(offset, 0);
    this.#kept.push(bytes);
    return this.u64(offset, koffi.address(bytes));
  }

  string(offset: number, text: string | undefined): this {
    return this.pointer(offset, text === undefined ? undefined : Buffer.from(`${text}\0`));
  }

  /** Ends the life of stored addresses. Being called after the foreign call is what keeps the buffers reachable. */
  release(): void {
    this.#kept.length = 0;
  }
}
