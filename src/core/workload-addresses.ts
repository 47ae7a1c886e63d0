import { canonicalPrefix, contains, parsePrefix } from './cidr.ts';
import type { Fields } from './workload-fields.ts';

export const ADDRESSES_MAX = 1024;

/**
 * `addresses` of a peer without an agent: addresses and prefixes → canonical prefixes, sorted, each once.
 * Refused: what is no address, all of a family (that is the entity world), loopback, and one within another.
 */
export function checkAddresses(fields: Fields, value: unknown): string[] {
  const path = '/addresses';
  if (!fields.texts(path, value, ADDRESSES_MAX)) return [];
  const canonical = new Map<string, number>();
  for (const [i, text] of value.entries()) {
    const prefix = canonicalPrefix(text, { bare: true });
    if (prefix === undefined) fields.bad(`${path}/${i}`, 'must be an address or a CIDR', text, ADDRESS_FORMS);
    else if (prefix.endsWith('/0')) fields.bad(`${path}/${i}`, 'is every address: policy calls that world', text);
    else if (overlapping([prefix], LOOPBACK) !== undefined)
      fields.bad(`${path}/${i}`, 'is loopback, which is this host', text);
    else {
      const within = overlapping([prefix], [...canonical.keys()]);
      if (within !== undefined) fields.bad(`${path}/${i}`, `overlaps ${within[1]} of the same list`, text);
      else canonical.set(prefix, i);
    }
  }
  return [...canonical.keys()].sort();
}

const ADDRESS_FORMS = ['10.9.0.7', '10.9.1.0/28', '2001:db8::7'] as const;
const LOOPBACK = ['127.0.0.0/8', '::1/128'] as const;

/** A prefix of each list such that one holds the other, in the order of the arguments; undefined = they are apart. */
export function overlapping(a: readonly string[], b: readonly string[]): [string, string] | undefined {
  for (const x of a)
    for (const y of b) {
      const [p, q] = [parsePrefix(x)!, parsePrefix(y)!];
      if (contains(p, q) || contains(q, p)) return [x, y];
    }
  return undefined;
}

export interface AddressOwner {
  readonly identity: number;
  readonly addresses?: readonly string[] | undefined;
}

/**
 * Which identity a prefix has, for a longest-prefix lookup: a workload has all of its addresses, so that a prefix of
 * some policy's CIDR rule that lies in there has none of its own. CIDR rules mean addresses that no workload has.
 */
export function addressIdentities(cidrs: Numbered, workloads: Iterable<AddressOwner>): readonly AddressIdentity[] {
  const owned = [...workloads].flatMap(({ identity, addresses = [] }) =>
    addresses.map((prefix) => ({ prefix, identity })),
  );
  const outer = owned.map(({ prefix }) => parsePrefix(prefix)!);
  const free =
    owned.length === 0 ? cidrs : cidrs.filter(({ prefix }) => !outer.some((o) => contains(o, parsePrefix(prefix)!)));
  return owned.length === 0 ? identified(cidrs) : [...identified(free), ...owned];
}

interface AddressIdentity {
  readonly prefix: string;
  readonly identity: number;
}

type Numbered = readonly { readonly id: number; readonly prefix: string }[];

const known = new WeakMap<Numbered, readonly AddressIdentity[]>();

/** The same list again gives the same list again: there may be many thousand. */
function identified(cidrs: Numbered): readonly AddressIdentity[] {
  let found = known.get(cidrs);
  if (found === undefined) {
    found = cidrs.map(({ id, prefix }) => ({ prefix, identity: id }));
    known.set(cidrs, found);
  }
  return found;
}
