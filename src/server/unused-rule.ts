/** Rules that have decided nothing for long: perhaps nobody needs them. */
import type { RuleStatus } from '../api/policy.ts';
import type { StoredPolicy } from './state.ts';

const WARN_AFTER_MS = 30 * 86_400_000;

/** Since when a rule has decided nothing; since the last change of the policy, if it never did. A default deny is not meant to. */
export function unusedRules(stored: StoredPolicy, rules: readonly RuleStatus[], beforeMs: number): RuleStatus[] {
  return rules.filter(({ rule, lastHit }) => {
    if (rule.startsWith('default deny of ')) return false;
    return Date.parse(lastHit ?? stored.meta.updatedAt) < beforeMs;
  });
}

export function unusedWarnings(stored: StoredPolicy, rules: readonly RuleStatus[]): string[] {
  const unused = unusedRules(stored, rules, Date.now() - WARN_AFTER_MS);
  return unused.map(
    ({ rule, lastHit }) =>
      `${rule} has decided nothing for 30 days${lastHit === undefined ? '' : `, last at ${lastHit}`}`,
  );
}
