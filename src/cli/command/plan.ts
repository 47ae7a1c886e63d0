/** What a dry run would do (`plan` of an answer), as lines. */
import type { Plan } from '../../api/apply.ts';

export function planLines(plan: unknown): string[] {
  const { changes, identities } = (plan ?? {}) as Partial<Plan>;
  const lines: string[] = [];
  for (const change of changes ?? []) {
    const name = [change.namespace, change.name].filter((word) => word !== undefined).join('/');
    lines.push(`  ${change.result.padEnd(9)}  ${change.kind} ${name}`);
  }
  if (identities !== undefined)
    lines.push(`  policy of ${identities} ${identities === 1 ? 'identity' : 'identities'} would differ`);
  return lines;
}

export function dryRunQuery(isDryRun: boolean): [string, string][] {
  return isDryRun ? [['dryRun', 'true']] : [];
}
