import type { Identity } from './identity.ts';
import type { IdentityIndex, Member, Question } from './identity-index.ts';
import { clusterRequirement, entitySelectors } from './peer.ts';
import { type PortSet, PROTOCOLS } from './policy-port.ts';
import type { Direction, Peer, PolicyRule } from './policy-rule.ts';
import { type AppliedRule, buildTable, type PortRange, type PortTable } from './policy-table.ts';
import { and } from './selector.ts';

/** One rule of one policy, with the questions that it asks. */
export interface CompiledRule {
  /** Unique while the compiler lives. */
  readonly uid: number;
  /** Place in policy order; renumbered by each update. */
  rank: number;
  readonly policy: string;
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
  defaultDeny: string | undefined,
  intern: (table: PortTable) => PortTable,
): CompiledDirection {
  const tableFor = (selected: readonly CompiledRule[], ports: Identity['ports']) =>
    intern(
      buildTable(
        selected.map((rule) => rule.applied ?? apply(rule.rule, ports)),
        defaultDeny,
      ),
    );
  const own = direction === 'ingress' ? subject.identity.ports : undefined;
  const everyone = rules.filter((rule) => !rule.peers);
  const other = tableFor(everyone, own);

  const special = [...byPeer(index, direction, rules, everyone)].sort(([a], [b]) => a - b);
  const tables = new Map<string, PortTable>();
  const peers = new Map<number, PortTable>([[0, other]]);
  for (const [id, indices] of special) {
    const ports = direction === 'ingress' ? own : index.get(id)?.identity.ports;
    const key = indices.join() + portKey(direction, rules, ports);
    let table = tables.get(key);
    if (!table) {
      const chosen = new Set(indices);
      table = tableFor(
        rules.filter((rule, i) => !rule.peers || chosen.has(i)),
        ports,
      );
      tables.set(key, table);
    }
    if (table !== other) peers.set(id, table);
  }
  return { enforced: true, peers };
}

/** Peers that may need a table of their own → indices of the rules that name them. */
function byPeer(
  index: IdentityIndex,
  direction: Direction,
  rules: readonly CompiledRule[],
  everyone: readonly CompiledRule[],
): Map<number, number[]> {
  const special = new Map<number, number[]>();
  for (const [i, rule] of rules.entries()) {
    for (const question of rule.peers ?? []) {
      for (const id of question.ids) {
        const indices = special.get(id);
        if (!indices) special.set(id, [i]);
        else if (indices.at(-1) !== i) indices.push(i);
      }
    }
  }
  if (direction === 'ingress') return special;
  // Who declares a port that an egress rule for every peer names, answers unlike the others.
  for (const name of everyone.flatMap((rule) => rule.portNames)) {
    for (const id of index.withPortName(name)) if (!special.has(id)) special.set(id, []);
  }
  return special;
}

/** Tells apart peers whose named ports differ, where names matter. */
function portKey(direction: Direction, rules: readonly CompiledRule[], ports: Identity['ports']): string {
  if (direction === 'ingress' || !ports) return '';
  const names = rules.flatMap((rule) => rule.portNames);
  return names.length === 0
    ? ''
    : ` ${names.map((name) => (ports[name] ? `${ports[name].port}/${ports[name].protocol}` : '')).join()}`;
}

/** A rule with its port names looked up in `ports`. */
export function apply(rule: PolicyRule, ports: Identity['ports']): AppliedRule {
  const ranges = rule.ports?.flatMap((set) => rangesOf(set, ports));
  return { name: rule.name, deny: rule.deny, ...(ranges ? { ports: ranges } : {}) };
}

function rangesOf(set: PortSet, ports: Identity['ports']): PortRange[] {
  if (!('name' in set)) return set.protocols.map((protocol) => ({ protocol, from: set.from, to: set.to }));
  const declared = ports?.[set.name];
  if (!declared) return [];
  const protocol = PROTOCOLS[declared.protocol];
  return set.protocols.includes(protocol) ? [{ protocol, from: declared.port, to: declared.port }] : [];
}
