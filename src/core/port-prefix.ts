/** One entry of a longest-prefix map over ports: the first `prefixLength` of 16 bits of `port` count. */
export interface PortPrefix {
  readonly port: number;
  readonly prefixLength: number;
}

/**
 * The fewest aligned blocks that cover exactly from..to, ascending: at most 30 for 16 bits, one for 0..65535.
 * @param from 0..65535 @param to inclusive, not below `from`
 */
export function portPrefixes(from: number, to: number): PortPrefix[] {
  const prefixes: PortPrefix[] = [];
  let port = from;
  while (port <= to) {
    let size = port === 0 ? 65536 : port & -port;
    while (port + size - 1 > to) size >>>= 1;
    prefixes.push({ port, prefixLength: 16 - Math.log2(size) });
    port += size;
  }
  return prefixes;
}
