/**
 * Policies in audit beside those in force: E = what those in force say, A = what all say together. Where E denies, E's
 * answer; where E allows and A denies, `audit` with what would have denied; else E's answer, or A's where E has no rule.
 * A policy in audit never opens and never closes anything.
 */
import type { CompiledDirection } from './compile-direction.ts';
import { lookupPort, type PortEntry, type PortTable } from './policy-table.ts';

const ALLOW_ALL: PortTable = { entries: [], fallback: { verdict: 'allow', rules: [] } };
const MOST = 65535;

/** @param intern gives the one object for all tables that are equal */
export function auditDirection(
  strict: CompiledDirection,
  whole: CompiledDirection,
  intern: (table: PortTable) => PortTable,
): CompiledDirection {
  const tableOf = ({ enforced, peers }: CompiledDirection, id: number) =>
    enforced ? (peers.get(id) ?? peers.get(0)!) : ALLOW_ALL;
  const merged = new Map<PortTable, Map<PortTable, PortTable>>();
  const merge = (id: number): PortTable => {
    const [e, a] = [tableOf(strict, id), tableOf(whole, id)];
    const row = merged.get(e) ?? new Map<PortTable, PortTable>();
    merged.set(e, row);
    const table = row.get(a) ?? intern(auditTable(e, a));
    row.set(a, table);
    return table;
  };
  const other = merge(0);
  const peers = new Map<number, PortTable>([[0, other]]);
  for (const id of Uint32Array.from(new Set([...strict.peers.keys(), ...whole.peers.keys()])).sort()) {
    const table = merge(id);
    if (table !== other) peers.set(id, table);
  }
  return { enforced: true, ...(!strict.enforced && { audit: true }), peers };
}

export function auditTable(e: PortTable, a: PortTable): PortTable {
  const fallback = answer(e.fallback, a.fallback);
  const protocols = new Set([...e.entries, ...a.entries].map(({ protocol }) => protocol));
  const entries = [...protocols].sort((x, y) => x - y).flatMap((protocol) => entriesOf(protocol, e, a, fallback));
  return { entries, fallback };
}

type Answer = PortTable['fallback'];

function answer(e: Answer, a: Answer): Answer {
  if (e.verdict === 'deny')
    return { verdict: 'deny', rules: e.rules, ...(e.denial !== undefined && { denial: e.denial }) };
  if (a.verdict === 'deny') return { verdict: 'audit', rules: a.rules };
  return { verdict: 'allow', rules: e.rules.length > 0 ? e.rules : a.rules };
}

/** Canonical, as policy-table.ts says. */
function entriesOf(protocol: number, e: PortTable, a: PortTable, fallback: Answer): PortEntry[] {
  const starts = new Set([0]);
  for (const entry of [...e.entries, ...a.entries]) {
    if (entry.protocol !== protocol) continue;
    starts.add(entry.from);
    if (entry.to < MOST) starts.add(entry.to + 1);
  }
  const sorted = [...starts].sort((x, y) => x - y);
  const entries: PortEntry[] = [];
  for (const [i, from] of sorted.entries()) {
    const to = (sorted[i + 1] ?? MOST + 1) - 1;
    const now = answer(lookupPort(e, protocol, from), lookupPort(a, protocol, from));
    if (same(now, fallback)) continue;
    const last = entries.at(-1);
    if (last !== undefined && last.to + 1 === from && same(now, last)) entries[entries.length - 1] = { ...last, to };
    else entries.push({ protocol, from, to, ...now });
  }
  return entries;
}

function same(a: Answer, b: Answer): boolean {
  return a.verdict === b.verdict && a.denial === b.denial && a.rules.join() === b.rules.join();
}
