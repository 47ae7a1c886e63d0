/**
 * Why? The oracle's verdict on one connection, with the rule that decided, or why none did. It only asks the oracle, so
 * that it cannot disagree with it: whether a rule names a peer is the verdict of a world in which it is the only one.
 */
import type { Denial } from './denial.ts';
import { isSubject, protects, RESERVED, reservedName } from './identity.ts';
import type { Direction, Policy, PolicyRule } from './policy-rule.ts';
import { ruleText } from './rule-text.ts';
import { indexLabels, selects } from './selector.ts';
import { type Connection, type SideVerdict, verdict } from './verdict.ts';
import { identitiesOf, policiesOf, type World } from './world.ts';

/** What decided one direction: a rule (the first of `rules`), or the reason of the default. */
export type Reason =
  | { readonly rule: string; readonly rules?: readonly string[]; readonly why?: string }
  | { readonly default: string };

export interface ExplainedSide {
  readonly verdict: SideVerdict['verdict'];
  readonly reason: SideVerdict['reason'];
  readonly by: Reason;
  /** How what is dropped feels to the program, where a policy that decided says so. */
  readonly denial?: Denial;
}

export interface Explained {
  readonly verdict: SideVerdict['verdict'];
  readonly egress: ExplainedSide;
  readonly ingress: ExplainedSide;
}

/** @param names what the two ends are called */
export function explain(
  world: World,
  connection: Connection,
  names: { readonly from: string; readonly to: string },
): Explained {
  const judged = verdict(world, connection);
  return {
    verdict: judged.verdict,
    egress: toSide(world, 'egress', connection, judged.egress, names.from),
    ingress: toSide(world, 'ingress', connection, judged.ingress, names.to),
  };
}

function toSide(
  world: World,
  direction: Direction,
  connection: Connection,
  side: SideVerdict,
  name: string,
): ExplainedSide {
  const subject = direction === 'egress' ? connection.from : connection.to;
  return {
    verdict: side.verdict,
    reason: side.reason,
    by: toReason(world, direction, subject, connection, side, name),
    ...(side.denial !== undefined && { denial: side.denial }),
  };
}

function toReason(
  world: World,
  direction: Direction,
  subject: number,
  connection: Connection,
  { reason, rules }: SideVerdict,
  name: string,
): Reason {
  const [rule] = rules;
  if (rule === undefined) return { default: defaultText(world, direction, subject, name) };
  const more = rules.length > 1 ? { rules } : {};
  if (reason === 'POLICY_DENIED') {
    return { rule, ...more, why: missText(world, direction, subject, connection, rule) };
  }
  const found = rulesOf(world).find((candidate) => candidate.rule.name === rule);
  return { rule, ...more, ...(found && { why: ruleText(found.rule, found.policy.namespace) }) };
}

/** Why a direction forwards what no rule allows. */
function defaultText(world: World, direction: Direction, subject: number, name: string): string {
  const isHost = subject === RESERVED.host && !world.identities.some(({ id }) => id === subject);
  if (isHost || !isSubject(subject)) {
    const what = reservedName(subject);
    if (subject === RESERVED.host || subject === RESERVED['remote-node'])
      return `${name} is ${what}: no endpointSelector selects the processes of a host that are no workload`;
    return `${name} is outside: nothing is enforced there`;
  }
  if (world.enforcement === 'never') return 'policy is never enforced here (enablePolicy=never)';
  if (world.identities.some(({ id, mode }) => id === subject && mode === 'observe'))
    return `${name} is in mode observe: nothing is judged on its side`;
  const applies = applying(world, direction, subject).length > 0;
  return applies
    ? `no rule matches, and no policy that selects ${name} denies ${direction} by default`
    : `no policy selects ${name} for ${direction}`;
}

const SHOWN = 3;

/** Why no rule allowed it: the nearest ones, and what they allow instead. */
function missText(
  world: World,
  direction: Direction,
  subject: number,
  connection: Connection,
  defaultDeny: string,
): string {
  const allowing = applying(world, direction, subject).filter(({ rule }) => !rule.deny);
  const isPeer = (candidate: Candidate) => matches(world, connection, candidate, direction, { ports: undefined });
  const isPort = (candidate: Candidate) => matches(world, connection, candidate, direction, { peers: undefined });
  const rank = (candidate: Candidate) => (isPeer(candidate) ? 0 : isPort(candidate) ? 1 : 2);
  const near = allowing
    .map((candidate) => ({ candidate, rank: rank(candidate) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ candidate }) => candidate);
  const prefix = `${defaultDeny.replace('default deny of ', '')} `;
  const texts = near.slice(0, SHOWN).map(({ policy, rule }) => {
    const short = rule.name.startsWith(prefix) ? rule.name.slice(prefix.length) : rule.name;
    return `${short} ${ruleText(rule, policy.namespace)}${rule.peers?.length === 0 ? '' : ' only'}`;
  });
  if (texts.length === 0) return `no rule allows any ${direction}`;
  const more = near.length - texts.length;
  return `${texts.join('; ')}${more > 0 ? `; and ${more} more rules` : ''}`;
}

interface Candidate {
  readonly policy: Policy;
  readonly rule: PolicyRule;
}

function rulesOf(world: World): Candidate[] {
  return [...policiesOf(world).values()].flatMap((policy) => policy.rules.map((rule) => ({ policy, rule })));
}

function applying(world: World, direction: Direction, subject: number): Candidate[] {
  const identity = [...identitiesOf(world).values()].find(({ id }) => id === subject);
  const labels = indexLabels(identity?.labels ?? []);
  const applies = (rule: PolicyRule) =>
    rule.direction === direction && protects(rule, subject) && selects(rule.subject, labels);
  return rulesOf(world).filter(({ rule }) => applies(rule));
}

/** Whether the rule, with some of it left out, would decide the connection. */
function matches(
  world: World,
  connection: Connection,
  { policy, rule }: Candidate,
  direction: Direction,
  without: { readonly ports?: undefined; readonly peers?: undefined },
): boolean {
  const { ports, peers, ...rest } = rule;
  const loose: PolicyRule = {
    ...rest,
    ...('ports' in without || ports === undefined ? {} : { ports }),
    ...('peers' in without || peers === undefined ? {} : { peers }),
  };
  const alone = { ...world, policies: [{ ...policy, rules: [loose] }] };
  return verdict(alone, connection)[direction].rules[0] === rule.name;
}
