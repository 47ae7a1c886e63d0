/** `listen` patterns and port names of a workload: `8080/tcp`, `40000-40100/tcp`, `10.0.0.5:1521/tcp`, `[::1]:53/udp`. */
export interface ListenPattern {
  /** IPPROTO_TCP or IPPROTO_UDP. */
  readonly protocol: 6 | 17;
  readonly from: number;
  /** Inclusive. */
  readonly to: number;
  /** Canonical text (RFC 5952); absent = whatever address the socket is bound to. */
  readonly address?: string;
}

export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly message: string };

export const LISTEN_FORMS = ['8080/tcp', '40000-40100/tcp', '10.0.0.5:1521/tcp', '[::1]:53/udp'] as const;

export function parseListen(text: string): Parsed<ListenPattern> {
  const match = /^(?:(\[[^\]]*\]|[^:[\]/]*):)?([^:/]*)\/([A-Za-z]+)$/.exec(text);
  if (match === null) return { ok: false, message: 'must be [address:]port[-port]/tcp or /udp' };
  const protocol = match[3]!.toLowerCase();
  if (protocol !== 'tcp' && protocol !== 'udp')
    return { ok: false, message: `protocol "${match[3]}" is not tcp or udp` };
  const ports = parsePortRange(match[2]!);
  if (!ports.ok) return ports;
  const value: ListenPattern = { protocol: protocol === 'tcp' ? 6 : 17, ...ports.value };
  if (match[1] === undefined) return { ok: true, value };
  const bare = match[1].startsWith('[') ? match[1].slice(1, -1) : match[1];
  const address = match[1].startsWith('[') ? canonicalIpv6(bare) : canonicalIpv4(bare);
  if (address === undefined) return { ok: false, message: `"${bare}" is not an IP address (IPv6 stands in brackets)` };
  return { ok: true, value: { ...value, address } };
}

/** A named port of a workload, `8080/tcp` → `8080/TCP`. */
export function parsePort(text: string): Parsed<string> {
  const match = /^(\d{1,5})\/(tcp|udp|sctp)$/i.exec(text);
  const port = Number(match?.[1]);
  if (match === null || port < 1 || port > 65535)
    return { ok: false, message: 'must be port/protocol, such as 8080/tcp' };
  return { ok: true, value: `${port}/${match[2]!.toUpperCase()}` };
}

/** The one spelling of an address that all comparisons use: IPv4-mapped IPv6 becomes IPv4. Undefined = not an address. */
export function canonicalAddress(text: string): string | undefined {
  return canonicalIpv4(text) ?? canonicalIpv6(text);
}

export function listenMatches(
  pattern: ListenPattern,
  socket: { readonly protocol: number; readonly port: number; readonly address: string },
): boolean {
  if (socket.protocol !== pattern.protocol || socket.port < pattern.from || socket.port > pattern.to) return false;
  return pattern.address === undefined || pattern.address === canonicalAddress(socket.address);
}

function parsePortRange(text: string): Parsed<{ from: number; to: number }> {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match === null) return { ok: false, message: `"${text}" is not a port or a range of ports` };
  const from = Number(match[1]);
  const to = Number(match[2] ?? match[1]);
  if (from < 1 || to > 65535) return { ok: false, message: 'ports are 1 to 65535' };
  if (to < from) return { ok: false, message: `range ${from}-${to} runs backwards` };
  return { ok: true, value: { from, to } };
}

function canonicalIpv4(text: string): string | undefined {
  if (!/^(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){3}$/.test(text)) return undefined;
  return text.split('.').every((byte) => Number(byte) <= 255) ? text : undefined;
}

function canonicalIpv6(text: string): string | undefined {
  const words = ipv6Words(text);
  if (words === undefined) return undefined;
  if (words.slice(0, 5).every((word) => word === 0) && words[5] === 0xffff) {
    return [words[6]! >> 8, words[6]! & 255, words[7]! >> 8, words[7]! & 255].join('.');
  }
  const hex = words.map((word) => word.toString(16));
  let best = { at: -1, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && words[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
  }
  if (best.at < 0) return hex.join(':');
  return `${hex.slice(0, best.at).join(':')}::${hex.slice(best.at + best.length).join(':')}`;
}

function ipv6Words(text: string): number[] | undefined {
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (tail !== null) {
    const bytes = canonicalIpv4(tail[2]!)?.split('.').map(Number);
    if (bytes === undefined) return undefined;
    const high = ((bytes[0]! << 8) | bytes[1]!).toString(16);
    return ipv6Words(`${tail[1]}${high}:${((bytes[2]! << 8) | bytes[3]!).toString(16)}`);
  }
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, rest] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const given = [...head!, ...(rest ?? [])];
  if (!given.every((word) => /^[0-9a-fA-F]{1,4}$/.test(word))) return undefined;
  if (rest === undefined ? given.length !== 8 : given.length > 7) return undefined;
  const zeros = new Array<string>(8 - given.length).fill('0');
  return [...head!, ...zeros, ...(rest ?? [])].map((word) => Number.parseInt(word, 16));
}
