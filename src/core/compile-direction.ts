import type { Denial } from './denial.ts';
import type { Identity } from './identity.ts';
import type { IdentityIndex, Member, Question } from './identity-index.ts';
import { portsNamed, portText } from './named-port.ts';
import { clusterRequirement, entitySelectors } from './peer.ts';
import type { Direction, Peer, PolicyRule } from './policy-rule.ts';
import { type AppliedRule, buildTable, type DefaultDeny, type PortRange, type PortTable } from './policy-table.ts';
import { type PortSet, PROTOCOLS } from './protocol.ts';
import { and } from './selector.ts';

/** One rule of one policy, with the questions that it asks. */
export interface CompiledRule {
  /** Unique while the compiler lives. */
  readonly uid: number;
  /** Place in policy order; renumbered by each update. */
  rank: number;
  readonly policy: string;
  /** Its policy is in audit. */
  readonly audit: boolean;
  readonly denial: Denial | undefined;
  readonly rule: PolicyRule;
  readonly subjects: Question;
  /** Absent = every peer. */
  readonly peers: readonly Question[] | undefined;
  /** Port names that it uses. */
  readonly portNames: readonly string[];
  /** Absent if `portNames` is not empty: then it depends on whose ports they are. */
  readonly applied: AppliedRule | undefined;
}

export interface CompiledDirection {
  readonly enforced: boolean;
  /** Nothing of it is in force: what would be denied is forwarded and recorded. */
  readonly audit?: true;
  /** Remote identity → its whole table; 0 = every other. Ascending. */
  readonly peers: ReadonlyMap<number, PortTable>;
}

export const NOT_ENFORCED: CompiledDirection = { enforced: false, peers: new Map() };

export function askPeers(
  index: IdentityIndex,
  peers: readonly Peer[] | undefined,
  clusterName: string,
): readonly Question[] | undefined {
  if (!peers || peers.some((peer) => peer.type === 'entity' && peer.entity === 'all')) return undefined;
  return peers.flatMap((peer) => {
    if (peer.type === 'cidr') return [index.askCidr(peer.prefix, peer.except)];
    if (peer.type === 'cidr-group') return []; // `policiesOf` has put prefixes in its place
    if (peer.type === 'entity')
      return entitySelectors(peer.entity, clusterName).map((selector) => index.askSelector(selector));
    return [index.askSelector(peer.localCluster ? and(peer.selector, clusterRequirement(clusterName)) : peer.selector)];
  });
}

/**
 * @param rules those that apply to the subject in this direction, in policy order
 * @param defaultDeny what to report when nothing matches; undefined = allow
 * @param intern gives the one object for all tables that are equal
 */
export function compileDirection(
  index: IdentityIndex,
  direction: Direction,
  subject: Member,
  rules: readonly CompiledRule[],
  defaultDeny: DefaultDeny | undefined,
  intern: (table: PortTable) => PortTable,
): CompiledDirection {
  const tableFor = (selected: readonly CompiledRule[], ports: Identity['ports']) =>
    intern(
      buildTable(
        selected.map((rule) => rule.applied ?? apply(rule.rule, rule.denial, ports)),
        defaultDeny,
      ),
    );
  const own = direction === 'ingress' ? subject.identity.ports : undefined;
  const everyone = rules.filter((rule) => !rule.peers);
  const always = [...rules.keys()].filter((i) => !rules[i]!.peers);
  const other = tableFor(everyone, own);

  const classes = classify(index, direction, rules);
  const names = direction === 'egress' ? rules.flatMap((rule) => rule.portNames) : [];
  const tables = new Map<string | number, PortTable>();
  const peers = new Map<number, PortTable>([[0, other]]);
  for (const id of Uint32Array.from(classes.of.keys()).sort()) {
    const number = classes.of.get(id)!;
    const ports = direction === 'egress' && names.length > 0 ? index.get(id)?.identity.ports : own;
    const key = names.length > 0 ? `${number} ${portKey(names, ports)}` : number;
    let table = tables.get(key);
    if (!table) {
      // Never a walk over all rules: with a rule for each of thousands of prefixes there are as many classes.
      const chosen = [...always, ...classes.rules[number]!].sort((a, b) => a - b);
      table = tableFor(
        chosen.map((i) => rules[i]!),
        ports,
      );
      tables.set(key, table);
    }
    if (table !== other) peers.set(id, table);
  }
  return { enforced: true, peers };
}

/** Peers that may need a table of their own, in classes: those of one class are named by the same rules. */
interface Classes {
  /** Remote identity → class. */
  readonly of: ReadonlyMap<number, number>;
  /** Class → indices of the rules that name its members; class 0 is named by none. */
  readonly rules: readonly (readonly number[])[];
}

function classify(index: IdentityIndex, direction: Direction, rules: readonly CompiledRule[]): Classes {
  const of = new Map<number, number>();
  const members: number[][] = [[]];
  const successor = new Map<number, number>();
  for (const [i, rule] of rules.entries()) {
    for (const question of rule.peers ?? []) {
      for (const id of question.ids) {
        const before = of.get(id) ?? 0;
        if (members[before]!.at(-1) === i) continue;
        const step = before * rules.length + i;
        let after = successor.get(step);
        if (after === undefined) {
          after = members.push([...members[before]!, i]) - 1;
          successor.set(step, after);
        }
        of.set(id, after);
      }
    }
    if (rule.peers || direction === 'ingress') continue;
    // Who declares a port that an egress rule for every peer names, answers unlike the others.
    for (const name of rule.portNames) {
      for (const id of index.withPortName(name)) if (!of.has(id)) of.set(id, 0);
    }
  }
  return { of, rules: members };
}

/** Tells apart peers of one class whose named ports differ. */
function portKey(names: readonly string[], ports: Identity['ports']): string {
  return names.map((name) => portText(ports, name)).join();
}

/** A rule with its port names looked up in `ports`. */
export function apply(rule: PolicyRule, denial: Denial | undefined, ports: Identity['ports']): AppliedRule {
  const ranges = rule.ports?.flatMap((set) => rangesOf(set, ports));
  return {
    name: rule.name,
    deny: rule.deny,
    ...(rule.deny && denial !== undefined ? { denial } : {}),
    ...(ranges ? { ports: ranges } : {}),
  };
}

function rangesOf(set: PortSet, ports: Identity['ports']): PortRange[] {
  if (!('name' in set)) return set.protocols.map((protocol) => ({ protocol, from: set.from, to: set.to }));
  return portsNamed(ports, set.name)
    .map(({ port, protocol }) => ({ protocol: PROTOCOLS[protocol], from: port, to: port }))
    .filter(({ protocol }) => set.protocols.includes(protocol));
}
