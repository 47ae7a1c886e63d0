/** CIDR peers of a rule: `10.0.0.0/8`, `{cidr, except}`, `{cidrGroupRef}`, `{cidrGroupSelector}`. */
import { contains, formatPrefix, type Prefix, parseAddress, parsePrefix } from './cidr.ts';
import {
  at,
  type Fields,
  type FieldTable,
  need,
  type Report,
  readEach,
  readFields,
  readString,
  refuse,
} from './policy-fields.ts';
import type { Peer } from './policy-rule.ts';
import { parseSelector } from './policy-selector.ts';

const CIDR_RULE: FieldTable = { known: ['cidr', 'except', 'cidrGroupRef', 'cidrGroupSelector'] };
const ONE_OF = ['cidr', 'cidrGroupRef', 'cidrGroupSelector'] as const;

/** One of `fromCIDR`: an address alone is a prefix of full length. */
export function parseCidr(report: Report, path: string, value: unknown): Peer | undefined {
  const prefix = readPrefix(report, path, value, true);
  return prefix && { type: 'cidr', prefix: formatPrefix(prefix), except: [] };
}

/** One of `fromCIDRSet`: exactly one of cidr, cidrGroupRef and cidrGroupSelector. */
export function parseCidrSetRule(report: Report, path: string, value: unknown): Peer | undefined {
  const fields = readFields(report, path, value, CIDR_RULE);
  if (!fields) return undefined;
  const given = ONE_OF.filter((name) => fields[name] !== undefined && fields[name] !== '');
  if (given.length > 1) return refuse(report, path, `${given.join(' and ')} cannot be combined: give one`);
  if (given.length === 0) return refuse(report, at(path, 'cidr'), `one of ${ONE_OF.join(', ')} is required`);
  if (given[0] === 'cidr') return parseCidrRule(report, path, fields, 'equal');
  need(report, 'cidrGroups', at(path, given[0]!), given[0]!);
  const except = readExcept(report, path, fields, undefined, 'equal');
  const groups =
    given[0] === 'cidrGroupRef'
      ? readString(report, at(path, 'cidrGroupRef'), fields.cidrGroupRef)
      : parseSelector(report, at(path, 'cidrGroupSelector'), fields.cidrGroupSelector, 'cidrgroup:');
  return groups === undefined ? undefined : { type: 'cidr-group', groups, except };
}

/**
 * `{cidr, except}` of Cilium and of NetworkPolicy's ipBlock.
 * @param except whether an exception may be as large as the cidr: Cilium says yes, Kubernetes no
 */
export function parseCidrRule(
  report: Report,
  path: string,
  fields: Fields,
  except: 'equal' | 'smaller',
): Peer | undefined {
  if (fields.cidr === undefined) return refuse(report, at(path, 'cidr'), 'cidr is required');
  const outer = readPrefix(report, at(path, 'cidr'), fields.cidr, false);
  const inner = readExcept(report, path, fields, outer, except);
  return outer && { type: 'cidr', prefix: formatPrefix(outer), except: inner };
}

/** Canonical, sorted, without duplicates; an exception from a group may lie anywhere. */
function readExcept(
  report: Report,
  path: string,
  fields: Fields,
  outer: Prefix | undefined,
  except: 'equal' | 'smaller',
): string[] {
  const list = readEach(report, at(path, 'except'), fields.except, (here, value) => {
    const prefix = readPrefix(report, here, value, false);
    if (!prefix || !outer) return prefix && formatPrefix(prefix);
    if (contains(outer, prefix) && (except === 'equal' || prefix.length > outer.length)) return formatPrefix(prefix);
    // Cilium looks at the address only: an exception that is larger than the cidr leaves nothing of it.
    if (
      except === 'equal' &&
      contains(outer, { ...prefix, bytes: writtenAddress(value), length: fullLength(prefix) })
    ) {
      report.warnings.push(`${here}: ${formatPrefix(prefix)} is more than ${formatPrefix(outer)}: nothing is left`);
      return formatPrefix(prefix);
    }
    return refuse(report, here, `must lie within ${formatPrefix(outer)}`, value);
  });
  return [...new Set(list ?? [])].sort();
}

function writtenAddress(value: unknown): Uint8Array {
  return parseAddress(String(value).split('/')[0]!)!;
}

function fullLength({ family }: Prefix): number {
  return family === 4 ? 32 : 128;
}

/** @param bare whether an address alone will do */
export function readPrefix(report: Report, path: string, value: unknown, bare: boolean): Prefix | undefined {
  const text = readString(report, path, value);
  if (text === undefined) return undefined;
  const prefix = parsePrefix(text, { bare });
  if (!prefix) {
    const wanted = bare ? 'must be an address or address/length' : 'must be address/length, such as 10.0.0.0/8';
    return refuse(report, path, wanted, text);
  }
  if (writtenAddress(text).some((byte, i) => byte !== prefix.bytes[i])) {
    report.warnings.push(`${path}: ${text} is read as ${formatPrefix(prefix)}`);
  }
  return prefix;
}
