/**
 * What a workload may open besides TCP and UDP sockets: `opens` of its registration, and what its policy opens. Everything
 * else is refused to it at socket() and open() where its policy denies something (bypass rules 3 and 12).
 *
 * 1. Declared: as named. A raw protocol opens raw sockets of that protocol alone. `tun` is /dev/net/tun and /dev/vhost-net.
 * 2. By policy: ICMP sockets where ICMP is allowed to or from somebody; raw sockets of VRRP and IGMP where a rule names them.
 *    A rule without ports names none.
 * 3. A policy that denies nothing (also: one in audit, or a workload in audit) closes nothing.
 * 4. What is open is judged all the same; only frames of `packet` and what leaves a `tun` device are not.
 * 5. It belongs to the identity: registrations with the same labels share what each of them opens.
 */
import type { CompiledDirection, CompiledIdentity } from './compile.ts';
import type { PortTable } from './policy-table.ts';
import { ICMP, ICMPV6, PORTLESS } from './protocol.ts';
import type { Fields } from './workload-fields.ts';

export type Opening = OpenName | { readonly raw: readonly (string | number)[] };

export interface Opens {
  readonly names: ReadonlySet<OpenName>;
  /** IP protocol numbers, ascending. */
  readonly raw: readonly number[];
  /** Sockets of every type. */
  readonly sockets: boolean;
}

export type OpenName = (typeof OPEN_NAMES)[number];
export const OPEN_NAMES = ['icmp', 'mptcp', 'udplite', 'tun', 'packet'] as const;

/** Protocols of raw sockets by name; any other by its number. */
export const RAW_PROTOCOLS: Readonly<Record<string, number>> = {
  igmp: 2,
  gre: 47,
  esp: 50,
  ah: 51,
  ospf: 89,
  pim: 103,
  vrrp: 112,
  l2tp: 115,
  sctp: 132,
};
const RAW_MAX = 16;
const EXAMPLE = [...OPEN_NAMES, '{"raw":["vrrp",112]}'];

/** Reports what is wrong; what it gives back is right only if nothing was. */
export function checkOpens(fields: Fields, { opens, addresses }: Record<string, unknown>): readonly Opening[] {
  if (addresses !== undefined)
    fields.bad('/opens', 'has no meaning beside addresses: nothing of it runs on a host with an agent', opens);
  if (!Array.isArray(opens) || opens.length === 0 || opens.length > EXAMPLE.length) {
    fields.bad('/opens', `must be a list of 1 to ${EXAMPLE.length} names`, opens, EXAMPLE);
    return [];
  }
  const seen = new Set<string>();
  for (const [i, one] of opens.entries()) {
    const path = `/opens/${i}`;
    const name = typeof one === 'object' && one !== null ? 'raw' : String(one);
    if (seen.has(name)) fields.bad(path, `${name} is there twice`, one);
    seen.add(name);
    if (OPEN_NAMES.includes(one)) continue;
    if (one === 'raw') fields.bad(path, 'raw sockets are opened by protocol: {"raw":["vrrp",112]}', one, EXAMPLE);
    else if (Object.hasOwn(RAW_PROTOCOLS, name))
      fields.bad(path, `a raw socket of "${name}" is opened by {"raw":["${name}"]}`, one, EXAMPLE);
    else if (name !== 'raw') fields.bad(path, `"${name}" is nothing that can be opened`, one, EXAMPLE);
    else if (fields.object(path, one, ['raw'], [])) checkRaw(fields, `${path}/raw`, one.raw);
  }
  return opens;
}

function checkRaw(fields: Fields, path: string, raw: unknown): void {
  const known = Object.keys(RAW_PROTOCOLS);
  if (!Array.isArray(raw) || raw.length === 0 || raw.length > RAW_MAX) {
    fields.bad(path, `must be a list of 1 to ${RAW_MAX} protocols`, raw, known);
    return;
  }
  for (const [i, one] of raw.entries())
    if (typeof one === 'string' ? !Object.hasOwn(RAW_PROTOCOLS, one) : !(Number.isInteger(one) && one > 0 && one < 256))
      fields.bad(`${path}/${i}`, 'must be an IP protocol: one of these names, or a number from 1 to 255', one, known);
    else if (raw.findIndex((other) => protocolOf(other) === protocolOf(one)) < i)
      fields.bad(`${path}/${i}`, `protocol ${protocolOf(one)} is there twice`, one);
}

/** What to know about what a registration opens. */
export function opensWarnings(opens: readonly Opening[] = []): string[] {
  const { names, raw } = declaredOpens(opens);
  const warnings: string[] = [];
  if (names.has('packet'))
    warnings.push(
      'opens packet: frames of its packet sockets are not judged, it can send to anybody on its interfaces and hear all that passes there',
    );
  if (names.has('tun'))
    warnings.push(
      'opens tun: what it writes into a tun or tap device is not judged, the host forwards it where it forwards at all (net.ipv4.ip_forward)',
    );
  for (const protocol of raw)
    if (protocol === 6 || protocol === 17)
      warnings.push(
        `opens raw sockets of protocol ${protocol}: it can speak as any port and hears what allowed peers send to other programs of the host`,
      );
    else if (protocol === 255)
      warnings.push(
        'opens raw sockets of protocol 255: it writes its own IP headers, judged by rules without ports only',
      );
  return warnings;
}

export function declaredOpens(opens: readonly Opening[] = []): Opens {
  const raw = opens.flatMap((one) => (typeof one === 'string' ? [] : one.raw.map(protocolOf)));
  return { names: new Set(opens.filter((one) => typeof one === 'string')), raw: ascending(raw), sockets: false };
}

/** What an identity's policy opens by itself. */
export function policyOpens({ ingress, egress }: Pick<CompiledIdentity, 'ingress' | 'egress'>): Opens {
  const names = new Set<OpenName>();
  const [into, out] = [saysOf(ingress), saysOf(egress)];
  if (into.icmp || out.icmp) names.add('icmp');
  if (!out.denies) names.add('tun').add('packet');
  return { names, raw: ascending([...into.named, ...out.named]), sockets: !into.denies && !out.denies };
}

export function joinOpens(a: Opens, b: Opens | undefined): Opens {
  if (b === undefined) return a;
  return {
    names: new Set([...a.names, ...b.names]),
    raw: ascending([...a.raw, ...b.raw]),
    sockets: a.sockets || b.sockets,
  };
}

interface Says {
  readonly denies: boolean;
  readonly icmp: boolean;
  /** Protocols that a rule names. */
  readonly named: readonly number[];
}

function saysOf({ enforced, peers }: CompiledDirection): Says {
  if (!enforced) return { denies: false, icmp: true, named: [] };
  const all = [...new Set(peers.values())].map(saysOfTable);
  return {
    denies: all.some(({ denies }) => denies),
    icmp: all.some(({ icmp }) => icmp),
    named: all.flatMap(({ named }) => named),
  };
}

const said = new WeakMap<PortTable, Says>();

/** Tables are shared between identities and revisions. */
function saysOfTable(table: PortTable): Says {
  const known = said.get(table);
  if (known !== undefined) return known;
  const allowing = table.entries.filter(({ verdict }) => verdict !== 'deny').map(({ protocol }) => protocol);
  const says = {
    denies: table.fallback.verdict === 'deny' || table.entries.some(({ verdict }) => verdict === 'deny'),
    icmp: table.fallback.verdict !== 'deny' || allowing.includes(ICMP) || allowing.includes(ICMPV6),
    named: allowing.filter((protocol) => NAMED.includes(protocol)),
  };
  said.set(table, says);
  return says;
}

const NAMED: readonly number[] = Object.values(PORTLESS);

function protocolOf(name: string | number): number {
  return typeof name === 'number' ? name : (RAW_PROTOCOLS[name] ?? 0);
}

function ascending(numbers: readonly number[]): readonly number[] {
  return [...new Set(numbers)].sort((a, b) => a - b);
}
