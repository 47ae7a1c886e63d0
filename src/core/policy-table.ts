import { clearest, type Denial } from './denial.ts';
import { portOf } from './protocol.ts';

/**
 * What one endpoint and direction answers to one peer: verdicts per protocol and port range, and a fallback for all
 * else (every other protocol included).
 *
 * 1. A deny rule that matches decides, however special the allow rules are.
 * 2. Else an allow rule that matches decides.
 * 3. Else the default: deny if some rule put the endpoint into default deny, else allow.
 * 4. `rules` names what decided, in policy order, at most 8. For rule 3 it is `default deny of <policy>`, or nothing.
 * 5. `denial`: how a deny feels, where what decided says so (denial.ts).
 * 6. Canonical: entries are disjoint within a protocol and sorted by protocol and port, neighbours that answer alike
 *    are one entry, and none answers what the fallback answers. Equal behaviour and equal names ⇔ equal tables.
 */
export interface PortEntry {
  /** 6, 17, 132 with ports; 1 and 58 with ICMP types in their place; 2 and 112 whole. */
  readonly protocol: number;
  readonly from: number;
  /** Inclusive. */
  readonly to: number;
  /** `audit` = allow, and record that a policy in audit would have denied (audit-table.ts). */
  readonly verdict: 'allow' | 'deny' | 'audit';
  readonly rules: readonly string[];
  readonly denial?: Denial;
}

export interface PortTable {
  readonly entries: readonly PortEntry[];
  readonly fallback: Pick<PortEntry, 'verdict' | 'rules' | 'denial'>;
}

/** One rule as it applies to one pair of endpoint and peer: names resolved. */
export interface AppliedRule {
  readonly name: string;
  readonly deny: boolean;
  /** How its denial feels. */
  readonly denial?: Denial;
  /** Absent = all traffic. */
  readonly ports?: readonly PortRange[];
}

export interface PortRange {
  readonly protocol: number;
  readonly from: number;
  readonly to: number;
}

export const MAX_RULES = 8;

/** What answers when nothing matches. */
export interface DefaultDeny {
  /** To report: `default deny of <policy>`. */
  readonly name: string;
  readonly denial?: Denial;
}

/** @param rules in policy order @param defaultDeny undefined = allow */
export function buildTable(rules: readonly AppliedRule[], defaultDeny: DefaultDeny | undefined): PortTable {
  const fallback = decide(
    rules.filter((rule) => !rule.ports),
    defaultDeny,
  );
  const protocols = new Set(rules.flatMap((rule) => rule.ports?.map((range) => range.protocol) ?? []));
  const entries = [...protocols]
    .sort((a, b) => a - b)
    .flatMap((protocol) => entriesOf(protocol, rules, fallback, defaultDeny));
  return { entries, fallback };
}

function entriesOf(
  protocol: number,
  rules: readonly AppliedRule[],
  fallback: PortTable['fallback'],
  defaultDeny: DefaultDeny | undefined,
): PortEntry[] {
  const entries: PortEntry[] = [];
  for (const [from, to] of segments(protocol, rules)) {
    const matching = rules.filter((rule) => !rule.ports || rule.ports.some((range) => covers(range, protocol, from)));
    const answer = decide(matching, defaultDeny);
    const last = entries.at(-1);
    if (same(answer, fallback)) continue;
    if (last && last.to + 1 === from && same(answer, last)) entries[entries.length - 1] = { ...last, to };
    else entries.push({ protocol, from, to, ...answer });
  }
  return entries;
}

/** Port ranges within which no rule begins or ends, in order. */
function segments(protocol: number, rules: readonly AppliedRule[]): [from: number, to: number][] {
  const starts = new Set<number>();
  for (const rule of rules) {
    for (const range of rule.ports ?? []) {
      if (range.protocol === protocol) starts.add(range.from).add(range.to + 1);
    }
  }
  const sorted = [...starts].sort((a, b) => a - b);
  return sorted.slice(0, -1).map((from, i) => [from, sorted[i + 1]! - 1]);
}

function covers(range: PortRange, protocol: number, port: number): boolean {
  return range.protocol === protocol && range.from <= port && port <= range.to;
}

function decide(matching: readonly AppliedRule[], defaultDeny: DefaultDeny | undefined): PortTable['fallback'] {
  const denying = matching.filter((rule) => rule.deny);
  if (denying.length > 0)
    return { verdict: 'deny', rules: names(denying), ...clearest(denying.map(({ denial }) => denial)) };
  if (matching.length > 0) return { verdict: 'allow', rules: names(matching) };
  if (defaultDeny === undefined) return { verdict: 'allow', rules: [] };
  return { verdict: 'deny', rules: [defaultDeny.name], ...clearest([defaultDeny.denial]) };
}

function names(rules: readonly AppliedRule[]): readonly string[] {
  return rules.slice(0, MAX_RULES).map((rule) => rule.name);
}

function same(a: PortTable['fallback'], b: PortTable['fallback']): boolean {
  return (
    a.verdict === b.verdict &&
    a.denial === b.denial &&
    a.rules.length === b.rules.length &&
    a.rules.every((name, i) => name === b.rules[i])
  );
}

/** The answer for one packet; `port` is the destination's, for ICMP the type. */
export function lookupPort(table: PortTable, protocol: number, port: number | undefined): PortTable['fallback'] {
  const key = portOf(protocol, port);
  const entry = key === undefined ? undefined : table.entries.find((candidate) => covers(candidate, protocol, key));
  return entry ?? table.fallback;
}
