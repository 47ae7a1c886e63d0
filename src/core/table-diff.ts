/** Where two tables of answers differ: the verdict, never the rule alone. */
import { lookupPort, type PortRange, type PortTable } from './policy-table.ts';

export interface RangeChange {
  /** Absent = every protocol and port that neither table names. */
  readonly protocol?: number;
  readonly from: number;
  readonly to: number;
  readonly before: PortTable['fallback']['verdict'];
  readonly after: PortTable['fallback']['verdict'];
  /** What decides now, and did before. */
  readonly rules: readonly string[];
  readonly rulesBefore: readonly string[];
  /** Of a change of everything: what stays as it was all the same. */
  readonly except?: readonly PortRange[];
}

/** What a direction that is not enforced answers to everybody. */
export const ALLOW_ALL: PortTable = { entries: [], fallback: { verdict: 'allow', rules: [] } };

const MOST = 65535;

/** Disjoint ranges in order; what changes as all else does is part of that. */
export function tableDiff(before: PortTable, after: PortTable): RangeChange[] {
  if (before === after) return [];
  const rest = change(before.fallback, after.fallback);
  const protocols = [...new Set([...before.entries, ...after.entries].map(({ protocol }) => protocol))];
  const ranges = protocols.sort((a, b) => a - b).flatMap((protocol) => rangesOf(protocol, before, after));
  const changed = ranges.flatMap(({ now, ...range }) => (now === undefined ? [] : [{ ...range, ...now }]));
  if (rest === undefined) return changed;
  const except = ranges.flatMap(({ now, ...range }) => (now === undefined ? [range] : []));
  const others = changed.filter((range) => range.before !== rest.before || range.after !== rest.after);
  return [{ from: 0, to: MOST, ...rest, ...(except.length > 0 && { except }) }, ...others];
}

/** All ports of a protocol, cut where either table cuts them; neighbours that change alike are one. */
function rangesOf(protocol: number, before: PortTable, after: PortTable): (PortRange & { now: Change | undefined })[] {
  const starts = new Set([0]);
  for (const entry of [...before.entries, ...after.entries]) {
    if (entry.protocol !== protocol) continue;
    starts.add(entry.from);
    if (entry.to < MOST) starts.add(entry.to + 1);
  }
  const sorted = [...starts].sort((a, b) => a - b);
  const ranges: ReturnType<typeof rangesOf> = [];
  for (const [i, from] of sorted.entries()) {
    const to = (sorted[i + 1] ?? MOST + 1) - 1;
    const now = change(lookupPort(before, protocol, from), lookupPort(after, protocol, from));
    const last = ranges.at(-1);
    if (last !== undefined && isAlike(last.now, now)) ranges[ranges.length - 1] = { ...last, to };
    else ranges.push({ protocol, from, to, now });
  }
  return ranges;
}

type Answer = PortTable['fallback'];
type Change = Pick<RangeChange, 'before' | 'after' | 'rules' | 'rulesBefore'>;

function change(before: Answer, after: Answer): Change | undefined {
  if (before.verdict === after.verdict) return undefined;
  return { before: before.verdict, after: after.verdict, rules: after.rules, rulesBefore: before.rules };
}

function isAlike(a: Change | undefined, b: Change | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.after === b.after && a.rules[0] === b.rules[0] && a.rulesBefore[0] === b.rulesBefore[0];
}
