/**
 * Ports of a policy rule. The word ANY means TCP, UDP and SCTP on that port; never ICMP, which has types instead of
 * ports (policy-icmp.ts), nor VRRP and IGMP, which have neither and stand for themselves. Port 0 means every port of the
 * protocol. A name is looked up where the destination's ports are declared: on the protected endpoint for ingress, on
 * the peer for egress; a name that nobody declares matches nothing.
 */
import { at, type FieldTable, need, type Report, readEach, readFields, refuse, typeName } from './policy-fields.ts';
import { ALLOW_ONLY, checkPortRule, type PortScope } from './policy-l7.ts';
import { PORT_PROTOCOLS, PORTLESS, type PortSet, PROTOCOLS, type ProtocolNumber } from './protocol.ts';

export * from './protocol.ts';

const MAX_PORTS = 40;

const ALLOW_RULE: FieldTable = { known: ['ports', ...ALLOW_ONLY] };
const DENY_RULE: FieldTable = {
  known: ['ports'],
  unsupported: Object.fromEntries(ALLOW_ONLY.map((name) => [name, 'not supported: Cilium ignores it in a deny rule'])),
};
const PORT: FieldTable = { known: ['port', 'endPort', 'protocol'] };

/** Cilium's `toPorts`: a list of port rules. An empty list is as if absent; a rule without ports selects none. */
export function parseToPorts(
  report: Report,
  path: string,
  value: unknown,
  scope: PortScope,
): readonly PortSet[] | undefined {
  const rules = readEach(report, path, value, (here, rule) => {
    const fields = readFields(report, here, rule, scope.deny ? DENY_RULE : ALLOW_RULE);
    const ports =
      fields && readEach(report, at(here, 'ports'), fields.ports, (p, port) => parseCiliumPort(report, p, port));
    if (ports && ports.length > MAX_PORTS) {
      refuse(report, at(here, 'ports'), `at most ${MAX_PORTS} ports in one rule`, ports.length);
    }
    if (fields) checkPortRule(report, here, fields, ports ?? [], scope);
    if (fields && !ports?.length) report.warnings.push(`${here}: without ports, it selects no traffic`);
    return ports ?? [];
  });
  return rules && rules.length > 0 ? rules.flat() : undefined;
}

function parseCiliumPort(report: Report, path: string, value: unknown): PortSet | undefined {
  const fields = readFields(report, path, value, PORT);
  if (!fields) return undefined;
  // Cilium normalises case; empty is ANY.
  const word =
    typeof fields.protocol === 'string' ? fields.protocol.toUpperCase() || 'ANY' : (fields.protocol ?? 'ANY');
  if (word === 'VRRP' || word === 'IGMP') return parsePortless(report, path, fields.port, word);
  const allowed = [...Object.keys(PROTOCOLS), 'ANY', ...Object.keys(PORTLESS)];
  const protocols = parseProtocol(report, at(path, 'protocol'), word, fields.protocol, allowed);
  if (!protocols) return undefined;
  if (fields.port === undefined || fields.port === '') return refuse(report, at(path, 'port'), 'port is required');
  return parsePort(report, path, fields.port, fields.endPort, protocols, 'cilium');
}

function parsePortless(report: Report, path: string, port: unknown, word: keyof typeof PORTLESS): PortSet | undefined {
  if (port !== undefined && port !== '' && port !== '0' && port !== 0) {
    return refuse(report, at(path, 'port'), `${word} has no ports: leave it out`, port);
  }
  need(report, 'ipProtocols', at(path, 'protocol'), `protocol ${word}`);
  return { protocols: [PORTLESS[word]], from: 0, to: 65535 };
}

/** NetworkPolicy's `ports`: an empty or absent list is every port of every protocol; a missing port is every port of its protocol. */
export function parseNetworkPolicyPorts(report: Report, path: string, value: unknown): readonly PortSet[] | undefined {
  const ports = readEach(report, path, value, (here, port) => {
    const fields = readFields(report, here, port, PORT);
    if (!fields) return undefined;
    const word = fields.protocol ?? 'TCP';
    const protocols = parseProtocol(report, at(here, 'protocol'), word, word, Object.keys(PROTOCOLS));
    if (fields.port === undefined && fields.endPort !== undefined) {
      return refuse(report, at(here, 'endPort'), 'endPort needs a port');
    }
    return parsePort(report, here, fields.port ?? 0, fields.endPort, protocols, 'kubernetes');
  });
  return ports && ports.length > 0 ? ports : undefined;
}

function parseProtocol(
  report: Report,
  path: string,
  word: unknown,
  written: unknown,
  allowed: readonly string[],
): readonly ProtocolNumber[] | undefined {
  if (word === 'ANY' && allowed.includes('ANY')) return PORT_PROTOCOLS;
  if (typeof word === 'string' && allowed.includes(word)) return [PROTOCOLS[word as keyof typeof PROTOCOLS]];
  const isIcmp = typeof word === 'string' && word.toUpperCase().startsWith('ICMP') && allowed.includes('ANY');
  return refuse(
    report,
    path,
    isIcmp ? 'ICMP is named by `icmps`, not by `toPorts`' : 'unknown protocol',
    written,
    allowed,
  );
}

/** Where Cilium's parser takes an endPort that says nothing (below the port, beside a name), so do we, with a warning. */
function parsePort(
  report: Report,
  path: string,
  port: unknown,
  endPort: unknown,
  protocols: readonly ProtocolNumber[] | undefined,
  reading: 'cilium' | 'kubernetes',
): PortSet | undefined {
  if (endPort !== undefined && typeof endPort !== 'number')
    return refuse(report, at(path, 'endPort'), `must be a number, 0 to 65535, not ${typeName(endPort)}`, endPort);
  const end = endPort === undefined || endPort === 0 ? undefined : readPortNumber(report, at(path, 'endPort'), endPort);
  const useless = (message: string): 'refused' | 'ignored' => {
    if (reading === 'kubernetes') refuse(report, at(path, 'endPort'), message, endPort);
    else report.warnings.push(`${at(path, 'endPort')}: ${message}; ignored, as Cilium does`);
    return reading === 'kubernetes' ? 'refused' : 'ignored';
  };
  const name = typeof port === 'string' ? portName(port) : undefined;
  if (name !== undefined) {
    if (end !== undefined && useless('endPort needs a port number, not a name') === 'refused') return undefined;
    return protocols && { protocols, name };
  }
  const from = readPortNumber(report, at(path, 'port'), port);
  if (from === undefined || (end === undefined && endPort !== undefined && endPort !== 0)) return undefined;
  if (end !== undefined && from === 0 && useless('endPort needs a port above 0') === 'refused') return undefined;
  if (end !== undefined && end < from && useless(`endPort is below port ${from}`) === 'refused') return undefined;
  return protocols && { protocols, from, to: from === 0 ? 65535 : Math.max(from, end ?? from) };
}

/** As Go reads an integer literal: a leading 0 is octal. */
function readPortNumber(report: Report, path: string, value: unknown): number | undefined {
  const text = typeof value === 'number' ? String(value) : typeof value === 'string' ? value : '';
  const number = /^0[0-7]+$/.test(text)
    ? Number.parseInt(text, 8)
    : /^(0|[1-9]\d*)$/.test(text)
      ? Number(text)
      : Number.NaN;
  if (!(number <= 65535)) {
    const what = typeof value === 'number' || typeof value === 'string' ? '' : `, not ${typeName(value)}`;
    return refuse(report, path, `must be a port, 0 to 65535, or a port name${what}`, value);
  }
  if (text !== String(number)) report.warnings.push(`${path}: ${text} is octal, port ${number}`);
  return number;
}

/** An IANA service name (RFC 6335 §5.1), in lower case; undefined if the text is none. */
export function portName(text: string): string | undefined {
  const valid = /^[a-zA-Z0-9](-?[a-zA-Z0-9])*$/.test(text) && text.length <= 15 && /[a-zA-Z]/.test(text);
  return valid ? text.toLowerCase() : undefined;
}
