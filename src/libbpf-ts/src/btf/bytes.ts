/** Reading and writing the field kinds that DataView lacks. Generated codecs import these. Little-endian, as all BPF hosts we run on. */

const buffers = new WeakMap<DataView, Buffer>();

/** u64 as number: exact below 2^53. */
export function getU64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 0x1_0000_0000;
}

export function getS64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getInt32(offset + 4, true) * 0x1_0000_0000;
}

/** Writes an integer |value| <= 2^53 as u64 or s64. */
export function setU64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value >>> 0, true);
  view.setUint32(offset + 4, Math.floor(value / 0x1_0000_0000), true);
}

export const setS64: typeof setU64 = setU64;

/** char[size] up to the first NUL, as UTF-8. */
export function getString(view: DataView, offset: number, size: number): string {
  const bytes = bufferOf(view);
  let end = offset;
  while (end < offset + size && bytes[end] !== 0) end++;
  return bytes.toString('utf8', offset, end);
}

/** Cuts at size - 1 bytes and fills with NUL. */
export function setString(view: DataView, offset: number, size: number, value: string): void {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, size);
  bytes.fill(0);
  bytes.set(Buffer.from(value).subarray(0, size - 1));
}

/** A copy. The loop beats slice() for the sizes that occur (addresses). */
export function getBytes(view: DataView, offset: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let index = 0; index < size; index++) bytes[index] = view.getUint8(offset + index);
  return bytes;
}

/** Missing bytes become 0, surplus bytes throw a RangeError. */
export function setBytes(view: DataView, offset: number, size: number, value: ArrayLike<number>): void {
  if (value.length > size) throw new RangeError(`${value.length} bytes do not fit into ${size}`);
  for (let index = 0; index < size; index++) view.setUint8(offset + index, value[index] ?? 0);
}

function bufferOf(view: DataView): Buffer {
  let buffer = buffers.get(view);
  if (buffer === undefined) {
    buffer = Buffer.from(view.buffer, view.byteOffset, view.byteLength);
    buffers.set(view, buffer);
  }
  return buffer;
}
