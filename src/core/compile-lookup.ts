import type { CompiledIdentity } from './compile.ts';
import { RESERVED } from './identity.ts';
import type { Direction } from './policy-rule.ts';
import { lookupPort } from './policy-table.ts';
import { type Connection, type SideVerdict, type Verdict, worse } from './verdict.ts';

type Compiled = Pick<ReadonlyMap<number, CompiledIdentity>, 'get'>;

/** What the compiled tables say about one new connection: the kernel's lookup, in words. */
export function lookupVerdict(compiled: Compiled, connection: Omit<Connection, 'fromAddress' | 'toAddress'>): Verdict {
  const egress = lookupSide(compiled, 'egress', connection.from, connection.to, connection);
  const ingress = lookupSide(compiled, 'ingress', connection.to, connection.from, connection);
  return { verdict: worse(egress.verdict, ingress.verdict), egress, ingress };
}

export function lookupSide(
  compiled: Compiled,
  direction: Direction,
  subject: number,
  peer: number,
  { protocol, port }: Pick<Connection, 'protocol' | 'port'>,
): SideVerdict {
  const side = compiled.get(subject)?.[direction];
  if (!side?.enforced || (subject === RESERVED.host && peer === RESERVED.host))
    return { verdict: 'FORWARDED', reason: 'NOT_ENFORCED', rules: [] };
  const { verdict, rules, denial } = lookupPort(side.peers.get(peer) ?? side.peers.get(0)!, protocol, port);
  if (verdict !== 'allow')
    return {
      verdict: verdict === 'audit' ? 'AUDIT' : 'DROPPED',
      reason: isDefaultDeny(rules) ? 'POLICY_DENIED' : 'POLICY_DENY',
      rules,
      ...(denial === undefined ? {} : { denial }),
    };
  return { verdict: 'FORWARDED', reason: rules.length > 0 ? 'ALLOWED' : 'NOT_ENFORCED', rules };
}

/** Tells a drop for want of a rule (133) from one by a deny rule (181). */
export function isDefaultDeny(rules: readonly string[]): boolean {
  return rules[0]?.startsWith('default deny of ') === true;
}
