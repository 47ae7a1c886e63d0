/** IP protocols that policy can name. */
export const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132 } as const;
export const ICMP = 1;
export const ICMPV6 = 58;
/** Protocols without ports: a rule for one covers all of it. */
export const PORTLESS = { IGMP: 2, VRRP: 112 } as const;
export type ProtocolNumber = 1 | 2 | 6 | 17 | 58 | 112 | 132;
export const PORT_PROTOCOLS: readonly ProtocolNumber[] = [6, 17, 132];

/** `from`, `to`: ports, inclusive; of ICMP types; of VRRP and IGMP 0 to 65535. */
export type PortSet =
  | { readonly protocols: readonly ProtocolNumber[]; readonly from: number; readonly to: number }
  | { readonly protocols: readonly ProtocolNumber[]; readonly name: string };

/** What a rule's ranges are compared with: the port, an ICMP type, 0 where there is neither; undefined if it is not known. */
export function portOf(protocol: number, port: number | undefined): number | undefined {
  return port ?? (protocol === PORTLESS.IGMP || protocol === PORTLESS.VRRP ? 0 : undefined);
}
