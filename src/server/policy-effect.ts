/** Warnings that need a compiler: what a policy cannot do beside the others, and what it leaves open when it goes. For one policy at a time. */
import { PolicyCompiler } from '../core/compile.ts';
import type { Policy, PolicyRule } from '../core/policy.ts';
import { annotationsOf } from '../core/policy-annotations.ts';
import type { World } from '../core/world.ts';
import { policyOf, type State, type StoredPolicy } from './state.ts';
import { PrefixNumbers, toWorld } from './world.ts';

export function effectWarnings(stored: StoredPolicy, state: State): string[] {
  const policy = policyOf(stored);
  if (policy === undefined) return [];
  const isDenied = [...state.policies.values()].some((one) => policyOf(one)?.rules.some(({ deny }) => deny));
  if (!isDenied && annotationsOf(stored.document).expires === undefined) return [];
  const world = toWorld(state, new PrefixNumbers());
  return [...shadowed(policy, world), ...openedByExpiry(stored, policy, world, state)];
}

/** Rules that are looked at. */
const MOST_RULES = 50;

/** Allow rules of which a deny rule takes all. */
function shadowed(policy: Policy, world: World): string[] {
  return policy.rules
    .filter((rule) => !rule.deny)
    .slice(0, MOST_RULES)
    .flatMap((rule) => {
      const denies = world.policies.flatMap((other) => {
        const rules = other.rules.filter(({ deny, direction }) => deny && direction === rule.direction);
        return rules.length === 0 ? [] : [{ ...other, rules }];
      });
      if (denies.length === 0) return [];
      const alone = [{ ...policy, rules: [rule] }];
      const groups = world.policies.filter(({ kind }) => kind === 'ccg');
      if (!allows({ ...world, policies: [...groups, ...alone] }, rule)) return [];
      // Under a name of its own, so that a deny rule of the same policy is beside it.
      const beside = denies.map((other) => ({ ...other, name: `${other.name}.deny` }));
      if (allows({ ...world, policies: [...groups, ...alone, ...beside] }, rule)) return [];
      const names = denies.flatMap(({ rules }) => rules.map(({ name }) => name));
      const by =
        names.length === 1 ? names[0] : `deny rules, of ${names.slice(0, 3).join(', ')}${names.length > 3 ? ' …' : ''}`;
      return [`${rule.name} allows nothing: shadowed by ${by}`];
    });
}

/** Whether the rule decides anything for anybody. */
function allows(world: World, rule: PolicyRule): boolean {
  const compiler = new PolicyCompiler();
  compiler.update(world);
  for (const compiled of compiler.all().values()) {
    for (const { fallback, entries } of compiled[rule.direction].peers.values()) {
      if ([fallback, ...entries].some(({ verdict, rules }) => verdict === 'allow' && rules.includes(rule.name)))
        return true;
    }
  }
  return false;
}

/** Who is protected by nothing else. */
function openedByExpiry(stored: StoredPolicy, policy: Policy, world: World, state: State): string[] {
  const { expires } = annotationsOf(stored.document);
  if (expires === undefined || policy.mode === 'audit') return [];
  const compiler = new PolicyCompiler();
  compiler.update(world);
  const before = new Map(compiler.all());
  const changes = compiler.update({ ...world, policies: world.policies.filter((other) => other !== policy) });
  return (['ingress', 'egress'] as const).flatMap((direction) => {
    const opened = [...changes].filter(
      ([id, now]) => before.get(id)?.[direction].enforced && !now?.[direction].enforced,
    );
    const names = opened.flatMap(([id]) => state.identities.get(String(id))?.workloads ?? []);
    if (names.length === 0) return [];
    const more = names.length > 3 ? ` and ${names.length - 3} more` : '';
    return [
      `when it expires, no policy selects ${names.slice(0, 3).join(', ')}${more} for ${direction}: everything is allowed`,
    ];
  });
}
