/** What a dry run would do (`plan` of an answer), as lines. */
import type { Plan } from '../../api/apply.ts';
import { alignRows } from '../table.ts';

export function planLines(plan: unknown): string[] {
  const { changes = [], identities, ...effect } = (plan ?? {}) as Partial<Plan>;
  const lines = changes.map(({ result, kind, namespace, name }) => {
    const full = [namespace, name].filter((word) => word !== undefined).join('/');
    return `  ${result.padEnd(9)}  ${kind} ${full}`;
  });
  lines.push(...verdictLines(effect), ...entryLines(effect));
  if (identities !== undefined)
    lines.push(`  policy of ${identities} ${identities === 1 ? 'identity' : 'identities'} would differ`);
  lines.push(...(effect.notes ?? []).map((note) => `  note: ${note}`));
  return lines;
}

/** Shown one by one; `-o json` has up to 500. */
const SHOWN = 20;

function verdictLines({ verdicts = [], verdictsTotal = 0, endpoints = [] }: Partial<Plan>): string[] {
  if (verdicts.length === 0) return [];
  const rows = verdicts.slice(0, SHOWN).map((change) => {
    const { workload, direction, peer, ports, before, after, rule, ruleBefore, hosts } = change;
    const who = peer === '*' ? 'anyone else' : peer;
    const decides = rule ?? (ruleBefore === undefined ? '' : `no more ${ruleBefore}`);
    return [
      `    ${workload === 'host' ? `host ${someOf(hosts)}` : workload}`,
      direction,
      `${direction === 'ingress' ? 'from' : 'to'} ${who}`,
      ports,
      `${before} -> ${after}`,
      decides === '' ? '' : `by ${decides}`,
    ];
  });
  const more = verdictsTotal - rows.length;
  return [
    `  ${verdictsTotal === 1 ? 'a verdict' : `${verdictsTotal} verdicts`} would change, for ${count(endpoints.length, 'live endpoint')}:`,
    ...alignRows(rows),
    ...(more > 0 ? [`    and ${more} more: -o json`] : []),
  ];
}

function someOf(names: readonly string[]): string {
  return names.length > 3 ? `${names.slice(0, 3).join(', ')} …` : names.join(', ');
}

function entryLines({ entries, capacity, hosts = [] }: Partial<Plan>): string[] {
  if (entries === undefined || capacity === undefined) return [];
  const { added, removed, changed } = entries;
  if (added + removed + changed === 0) return [];
  const fullest = [capacity, ...hosts.map((host) => host.capacity)].flatMap((of) => Object.entries(of));
  const [map, { entries: used, of }] = fullest.reduce((a, b) =>
    b[1].entries / b[1].of > a[1].entries / a[1].of ? b : a,
  );
  const where = hosts.length === 0 ? 'on each host' : `on ${count(hosts.length, 'host')}`;
  return [
    `  entries ${where}: ${added} added, ${removed} removed, ${changed} changed; fullest after it: ${map} ${used} of ${of}`,
  ];
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}

export function dryRunQuery(isDryRun: boolean): [string, string][] {
  return isDryRun ? [['dryRun', 'true']] : [];
}
