/**
 * Ports of a policy rule. The word ANY means TCP, UDP and SCTP on that port; never ICMP, which has no ports.
 * Port 0 means every port of the protocol. A name is looked up where the destination's ports are declared: on the
 * protected endpoint for ingress, on the peer for egress; a name that nobody declares matches nothing.
 */
import {
  add,
  at,
  type FieldTable,
  NOT_SUPPORTED,
  type Report,
  readEach,
  readFields,
  refuse,
  typeName,
} from './policy-fields.ts';

export const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132 } as const;
export type ProtocolNumber = (typeof PROTOCOLS)[keyof typeof PROTOCOLS];
export const PORT_PROTOCOLS: readonly ProtocolNumber[] = [6, 17, 132];

export type PortSet =
  | { readonly protocols: readonly ProtocolNumber[]; readonly from: number; readonly to: number }
  | { readonly protocols: readonly ProtocolNumber[]; readonly name: string };

const MAX_PORTS = 40;

const ALLOW_ONLY = ['terminatingTLS', 'originatingTLS', 'serverNames', 'listener'];
const ALLOW_RULE: FieldTable = {
  known: ['ports', 'rules'],
  unsupported: Object.fromEntries(ALLOW_ONLY.map((name) => [name, ''])),
};
const DENY_RULE: FieldTable = {
  known: ['ports'],
  misplaced: Object.fromEntries(['rules', ...ALLOW_ONLY].map((name) => [name, 'is not allowed in a deny rule'])),
};
/** An empty `rules` has no effect, in Cilium too. */
const L7_RULES: FieldTable = {
  within: 'rules.',
  known: [],
  unsupported: { http: '', dns: '', kafka: '', l7proto: '', l7: '' },
};
const PORT: FieldTable = { known: ['port', 'endPort', 'protocol'] };

/** Cilium's `toPorts`: a list of port rules. An empty list is as if absent; a rule without ports selects none. */
export function parseToPorts(
  report: Report,
  path: string,
  value: unknown,
  deny: boolean,
): readonly PortSet[] | undefined {
  const rules = readEach(report, path, value, (here, rule) => {
    const fields = readFields(report, here, rule, deny ? DENY_RULE : ALLOW_RULE);
    if (fields?.rules !== undefined) readFields(report, at(here, 'rules'), fields.rules, L7_RULES);
    const ports =
      fields && readEach(report, at(here, 'ports'), fields.ports, (p, port) => parseCiliumPort(report, p, port));
    if (ports && ports.length > MAX_PORTS) {
      refuse(report, at(here, 'ports'), `at most ${MAX_PORTS} ports in one rule`, ports.length);
    }
    if (fields && !ports?.length) report.warnings.push(`${here}: without ports, it selects no traffic`);
    return ports ?? [];
  });
  return rules && rules.length > 0 ? rules.flat() : undefined;
}

function parseCiliumPort(report: Report, path: string, value: unknown): PortSet | undefined {
  const fields = readFields(report, path, value, PORT);
  if (!fields) return undefined;
  const protocols = parseProtocol(report, at(path, 'protocol'), fields.protocol ?? 'ANY', CILIUM_PROTOCOLS);
  if (!protocols) return undefined;
  if (fields.port === undefined || fields.port === '') return refuse(report, at(path, 'port'), 'port is required');
  return parsePort(report, path, fields.port, fields.endPort, protocols);
}

/** NetworkPolicy's `ports`: an empty or absent list is every port of every protocol; a missing port is every port of its protocol. */
export function parseNetworkPolicyPorts(report: Report, path: string, value: unknown): readonly PortSet[] | undefined {
  const ports = readEach(report, path, value, (here, port) => {
    const fields = readFields(report, here, port, PORT);
    if (!fields) return undefined;
    const protocols = parseProtocol(report, at(here, 'protocol'), fields.protocol ?? 'TCP', Object.keys(PROTOCOLS));
    if (fields.port === undefined && fields.endPort !== undefined) {
      return refuse(report, at(here, 'endPort'), 'endPort needs a port');
    }
    return parsePort(report, here, fields.port ?? 0, fields.endPort, protocols);
  });
  return ports && ports.length > 0 ? ports : undefined;
}

const CILIUM_PROTOCOLS = [...Object.keys(PROTOCOLS), 'ANY'];
const OTHER_PROTOCOLS = ['ICMP', 'ICMPV6', 'VRRP', 'IGMP'];

function parseProtocol(
  report: Report,
  path: string,
  value: unknown,
  allowed: readonly string[],
): readonly ProtocolNumber[] | undefined {
  const name = typeof value === 'string' ? value.toUpperCase() : '';
  if (OTHER_PROTOCOLS.includes(name) && allowed.includes('ANY')) {
    add(report, { path, message: `protocol ${name} is not supported yet`, value, allowed, code: NOT_SUPPORTED });
    return undefined;
  }
  // Kubernetes' NetworkPolicy knows no ANY and no lower case; Cilium normalises case.
  if (!allowed.includes(allowed.includes('ANY') ? name : String(value))) {
    return refuse(report, path, 'unknown protocol', value, allowed);
  }
  return name === 'ANY' ? PORT_PROTOCOLS : [PROTOCOLS[name as keyof typeof PROTOCOLS]];
}

function parsePort(
  report: Report,
  path: string,
  port: unknown,
  endPort: unknown,
  protocols: readonly ProtocolNumber[] | undefined,
): PortSet | undefined {
  const end = endPort === undefined || endPort === 0 ? undefined : readPortNumber(report, at(path, 'endPort'), endPort);
  const name = typeof port === 'string' ? portName(port) : undefined;
  if (name !== undefined) {
    if (end !== undefined)
      return refuse(report, at(path, 'endPort'), 'endPort needs a port number, not a name', endPort);
    return protocols && { protocols, name };
  }
  const from = readPortNumber(report, at(path, 'port'), port);
  if (from === undefined || (end === undefined && endPort !== undefined && endPort !== 0)) return undefined;
  if (end !== undefined && from === 0)
    return refuse(report, at(path, 'endPort'), 'endPort needs a port above 0', endPort);
  if (end !== undefined && end < from)
    return refuse(report, at(path, 'endPort'), `endPort is below port ${from}`, endPort);
  return protocols && { protocols, from, to: from === 0 ? 65535 : (end ?? from) };
}

function readPortNumber(report: Report, path: string, value: unknown): number | undefined {
  const text = typeof value === 'number' ? String(value) : typeof value === 'string' ? value : '';
  if (!/^(0|[1-9]\d{0,4})$/.test(text) || Number(text) > 65535) {
    const what = typeof value === 'number' || typeof value === 'string' ? '' : `, not ${typeName(value)}`;
    return refuse(report, path, `must be a port, 0 to 65535, or a port name${what}`, value);
  }
  return Number(text);
}

/** An IANA service name (RFC 6335 §5.1), in lower case; undefined if the text is none. */
export function portName(text: string): string | undefined {
  const valid = /^[a-zA-Z0-9](-?[a-zA-Z0-9])*$/.test(text) && text.length <= 15 && /[a-zA-Z]/.test(text);
  return valid ? text.toLowerCase() : undefined;
}
