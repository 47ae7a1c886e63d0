/** Textual IP addresses to network-order bytes. */
import { isIPv4, isIPv6 } from 'node:net';

/** 4 bytes, or 16 if `v6` (IPv4 is mapped to ::ffff:a.b.c.d). Throws RangeError if `text` is not an address. */
export function addressBytes(text: string, v6: boolean): Uint8Array {
  if (isIPv4(text)) {
    const bytes = text.split('.').map(Number);
    return Uint8Array.from(v6 ? [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...bytes] : bytes);
  }
  if (!v6 || !isIPv6(text)) throw new RangeError(`"${text}" is not an ${v6 ? 'IP' : 'IPv4'} address`);
  const [address = ''] = text.split('%');
  const [head = '', tail] = address.split('::') as [string, string | undefined];
  const left = groups(head);
  const right = groups(tail ?? '');
  const zeros = new Array<number>(Math.max(0, 16 - left.length - right.length)).fill(0);
  return Uint8Array.from([...left, ...zeros, ...right]);
}

function groups(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}
