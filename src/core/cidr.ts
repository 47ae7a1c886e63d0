/**
 * IP addresses and prefixes, IPv4 and IPv6 through one 16-byte form (IPv4 as ::ffff:a.b.c.d, RFC 4291 §2.5.5.2).
 * Canonical text: RFC 5952 for IPv6, no leading zeros, host bits zero. An IPv4-mapped prefix of /96 or longer is the
 * IPv4 prefix. Cilium accepts host bits that are set, and so do we: `10.0.0.1/8` is `10.0.0.0/8`.
 */
export interface Prefix {
  readonly family: 4 | 6;
  /** 16 bytes, network order, mapped, host bits zero. */
  readonly bytes: Uint8Array;
  /** In the family's own bits: 0..32 or 0..128. */
  readonly length: number;
}

/** An address and a length, or undefined. With `bare`, an address alone is a prefix of full length. */
export function parsePrefix(text: string, { bare = false } = {}): Prefix | undefined {
  const slash = text.indexOf('/');
  if (slash < 0 && !bare) return undefined;
  const addressText = slash < 0 ? text : text.slice(0, slash);
  const address = parseAddress(addressText);
  if (!address) return undefined;
  const dotted = !addressText.includes(':');
  const full = dotted ? 32 : 128;
  const lengthText = slash < 0 ? String(full) : text.slice(slash + 1);
  if (!/^(0|[1-9]\d{0,2})$/.test(lengthText) || Number(lengthText) > full) return undefined;
  const length = Number(lengthText);
  if (dotted) return mask({ family: 4, bytes: address, length });
  if (isMapped(address) && length >= 96) return mask({ family: 4, bytes: address, length: length - 96 });
  return mask({ family: 6, bytes: address, length });
}

/** 16 bytes, or undefined when the text is no address. Zones (`%eth0`) are refused. */
export function parseAddress(text: string): Uint8Array | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** Canonical `address/length`. */
export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix.bytes, prefix.family)}/${prefix.length}`;
}

/** RFC 5952. A mapped address is written as IPv4 unless `family` says otherwise. */
export function formatAddress(bytes: Uint8Array, family: 4 | 6 = isMapped(bytes) ? 4 : 6): string {
  if (family === 4) return bytes.subarray(12).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  const { start, length } = longestZeroRun(groups);
  const hex = (part: number[]) => part.map((group) => group.toString(16)).join(':');
  return length < 2 ? hex(groups) : `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

/** Canonical text of a prefix, or undefined. */
export function canonicalPrefix(text: string, options?: { bare?: boolean }): string | undefined {
  const prefix = parsePrefix(text, options);
  return prefix && formatPrefix(prefix);
}

/** Whether every address of `inner` is in `outer`; never across families. */
export function contains(outer: Prefix, inner: Prefix): boolean {
  if (outer.family !== inner.family || outer.length > inner.length) return false;
  const bits = mappedLength(outer);
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (outer.bytes[i] !== inner.bytes[i]) return false;
  const rest = bits & 7;
  return rest === 0 || (outer.bytes[whole]! ^ inner.bytes[whole]!) >> (8 - rest) === 0;
}

export function containsAddress(prefix: Prefix, address: Uint8Array): boolean {
  return contains(prefix, addressPrefix(address));
}

/** The prefix of full length that is this address alone. */
export function addressPrefix(address: Uint8Array): Prefix {
  return isMapped(address) ? { family: 4, bytes: address, length: 32 } : { family: 6, bytes: address, length: 128 };
}

/** Length in the 16-byte form, as a longest-prefix map wants it: 96 + n for IPv4. */
export function mappedLength(prefix: Prefix): number {
  return prefix.family === 4 ? 96 + prefix.length : prefix.length;
}

/** Family and bytes as text: prefixes of one family sort by it, and what a prefix contains is one run of the order. */
export function prefixKey(prefix: Prefix): string {
  let hex = String(prefix.family);
  for (const byte of prefix.bytes) hex += byte < 16 ? `0${byte.toString(16)}` : byte.toString(16);
  return hex;
}

function mask(prefix: Prefix): Prefix {
  const bits = mappedLength(prefix);
  const bytes = prefix.bytes.map((byte, i) => {
    const keep = Math.min(8, Math.max(0, bits - 8 * i));
    return byte & (0xff << (8 - keep));
  });
  return { ...prefix, bytes };
}

function isMapped(bytes: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return false;
  return bytes[10] === 0xff && bytes[11] === 0xff;
}

function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255))
    return undefined;
  return Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...parts.map(Number)]);
}

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half) => parseGroups(half)) as [number[] | undefined, number[] | undefined];
  if (!head || (halves.length === 2 && !tail)) return undefined;
  if (halves.length === 1) return head.length === 16 ? Uint8Array.from(head) : undefined;
  const zeros = 16 - head.length - tail!.length;
  // "::" stands for at least one group; a dotted tail may only end the whole address.
  if (zeros < 2 || halves[0]!.includes('.')) return undefined;
  return Uint8Array.from([...head, ...new Array<number>(zeros).fill(0), ...tail!]);
}

/** Bytes of `a:b:c` or `a:b:1.2.3.4`; empty text is no bytes. */
function parseGroups(text: string): number[] | undefined {
  if (text === '') return [];
  const bytes: number[] = [];
  const groups = text.split(':');
  for (const [i, group] of groups.entries()) {
    if (i === groups.length - 1 && group.includes('.')) {
      const dotted = parseIpv4(group);
      if (!dotted) return undefined;
      bytes.push(...dotted.subarray(12));
    } else if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    } else return undefined;
  }
  return bytes.length <= 16 ? bytes : undefined;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}
