/**
 * `icmps` of a Cilium rule: ICMP types, by number or by Cilium's names for them. In the normal form a type stands where
 * other protocols have a port. Codes cannot be named.
 */
import { at, type FieldTable, need, type Report, readEach, readFields, refuse, typeName } from './policy-fields.ts';
import { ICMP, ICMPV6, type PortSet } from './protocol.ts';

const RULE: FieldTable = { known: ['fields'] };
const FIELD: FieldTable = { known: ['family', 'type'] };
const FAMILIES = ['IPv4', 'IPv6'] as const;
const MAX_FIELDS = 40;

/** IANA's icmp-parameters, under the names that Cilium gives them. */
const TYPES: Readonly<Record<(typeof FAMILIES)[number], ReadonlyMap<string, number>>> = {
  IPv4: new Map([
    ['EchoReply', 0],
    ['DestinationUnreachable', 3],
    ['Redirect', 5],
    ['Echo', 8],
    ['EchoRequest', 8],
    ['RouterAdvertisement', 9],
    ['RouterSelection', 10],
    ['TimeExceeded', 11],
    ['ParameterProblem', 12],
    ['Timestamp', 13],
    ['TimestampReply', 14],
    ['Photuris', 40],
    ['ExtendedEchoRequest', 42],
    ['ExtendedEchoReply', 43],
  ]),
  IPv6: new Map([
    ['DestinationUnreachable', 1],
    ['PacketTooBig', 2],
    ['TimeExceeded', 3],
    ['ParameterProblem', 4],
    ['EchoRequest', 128],
    ['EchoReply', 129],
    ['MulticastListenerQuery', 130],
    ['MulticastListenerReport', 131],
    ['MulticastListenerDone', 132],
    ['RouterSolicitation', 133],
    ['RouterAdvertisement', 134],
    ['NeighborSolicitation', 135],
    ['NeighborAdvertisement', 136],
    ['RedirectMessage', 137],
    ['RouterRenumbering', 138],
    ['ICMPNodeInformationQuery', 139],
    ['ICMPNodeInformationResponse', 140],
    ['InverseNeighborDiscoverySolicitation', 141],
    ['InverseNeighborDiscoveryAdvertisement', 142],
    ['HomeAgentAddressDiscoveryRequest', 144],
    ['HomeAgentAddressDiscoveryReply', 145],
    ['MobilePrefixSolicitation', 146],
    ['MobilePrefixAdvertisement', 147],
    ['DuplicateAddressRequestCodeSuffix', 157],
    ['DuplicateAddressConfirmationCodeSuffix', 158],
    ['ExtendedEchoRequest', 160],
    ['ExtendedEchoReply', 161],
  ]),
};

/** An empty list is as if absent; a rule without fields selects no traffic. */
export function parseIcmps(report: Report, path: string, value: unknown): readonly PortSet[] | undefined {
  const rules = readEach(report, path, value, (here, rule) => {
    const fields = readFields(report, here, rule, RULE);
    const list =
      fields && readEach(report, at(here, 'fields'), fields.fields, (p, field) => parseField(report, p, field));
    if (list && list.length > MAX_FIELDS) {
      refuse(report, at(here, 'fields'), `at most ${MAX_FIELDS} fields in one rule`, list.length);
    }
    if (fields && !list?.length) report.warnings.push(`${here}: without fields, it selects no traffic`);
    return list ?? [];
  });
  return rules && rules.length > 0 ? rules.flat() : undefined;
}

function parseField(report: Report, path: string, value: unknown): PortSet | undefined {
  const fields = readFields(report, path, value, FIELD);
  if (!fields) return undefined;
  const wanted = fields.family === undefined || fields.family === '' ? 'IPv4' : fields.family;
  const family = FAMILIES.find((name) => name === wanted);
  if (!family) return refuse(report, at(path, 'family'), 'unknown family', wanted, FAMILIES);
  const type = readType(report, at(path, 'type'), fields.type, family);
  if (type === undefined) return undefined;
  need(report, 'icmps', path, 'icmps');
  return { protocols: [family === 'IPv4' ? ICMP : ICMPV6], from: type, to: type };
}

function readType(report: Report, path: string, value: unknown, family: (typeof FAMILIES)[number]): number | undefined {
  if (value === undefined) return refuse(report, path, 'type is required: a number from 0 to 255, or a name');
  if (typeof value !== 'number' && typeof value !== 'string') {
    return refuse(report, path, `must be a type, 0 to 255, or its name, not ${typeName(value)}`, value);
  }
  const named = TYPES[family].get(String(value));
  if (named !== undefined) return named;
  const number = /^\d{1,3}$/.test(String(value)) ? Number(value) : Number.NaN;
  if (number <= 255) return number;
  return refuse(report, path, `unknown type of ${family}: a number from 0 to 255, or a name`, value, [
    ...TYPES[family].keys(),
  ]);
}
