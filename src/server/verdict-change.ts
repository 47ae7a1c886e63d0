/**
 * Which verdicts a write would change, workload by workload: what was compiled before it, held against what it compiles
 * to. A workload that is new was `host` before, one that is gone is `host` after: so are processes that nobody claims.
 */
import type { VerdictChange } from '../api/apply.ts';
import type { CompiledDirection, CompiledIdentity } from '../core/compile.ts';
import { RESERVED, reservedName } from '../core/identity.ts';
import { PROTOCOLS } from '../core/protocol.ts';
import { ALLOW_ALL, type RangeChange, tableDiff } from '../core/table-diff.ts';
import type { State } from './state.ts';

export interface Compilation {
  readonly state: State;
  compiled(identity: number): CompiledIdentity | undefined;
}

export interface Comparison {
  readonly before: Compilation;
  readonly after: Compilation;
  /** Identities that do not compile to the same. */
  readonly changed: Iterable<number>;
  /** Prefix of a local identity. */
  prefixOf(identity: number): string | undefined;
}

/** Everyone without a table of his own. */
export const OTHERS = '*';

type Change = Omit<VerdictChange, 'endpoints' | 'hosts'> & { readonly workload: string };

/** @param isEnough once it holds, of each further workload and direction only the first change is given */
export function* verdictChanges(comparison: Comparison, isEnough = () => false): Generator<Change, void, void> {
  const { before, after } = comparison;
  const moved = movedWorkloads(before.state, after.state);
  const changed = new Set(comparison.changed);
  const keys = new Set([...before.state.workloads.keys(), ...after.state.workloads.keys()]);
  for (const key of [...keys].sort()) {
    const [was, is] = [identityOf(before.state, key), identityOf(after.state, key)];
    const isWhole = moved.has(key) || changed.has(is);
    if (!isWhole && moved.size === 0) continue;
    for (const direction of ['ingress', 'egress'] as const) {
      const old = before.compiled(was)?.[direction];
      const now = after.compiled(is)?.[direction];
      if (!old?.enforced && !now?.enforced) continue;
      const peers = isWhole ? undefined : moved;
      for (const change of directionChanges(old, now, comparison, peers, moved)) {
        yield { workload: key, direction, ...change };
        if (isEnough()) break;
      }
    }
  }
}

/** The same of hosts' own processes; hosts whose policy changes alike are told together. */
export function* hostVerdictChanges(
  comparison: Comparison,
  hosts: ReadonlyMap<string, Record<'before' | 'after', CompiledIdentity | undefined>>,
): Generator<Change & { readonly hosts: readonly string[] }, void, void> {
  const moved = movedWorkloads(comparison.before.state, comparison.after.state);
  const alike = Map.groupBy(hosts, ([, fit]) => fit);
  for (const [{ before, after }, group] of alike) {
    const names = group.map(([host]) => host).sort();
    for (const direction of ['ingress', 'egress'] as const) {
      const [old, now] = [before?.[direction], after?.[direction]];
      if (!old?.enforced && !now?.enforced) continue;
      for (const change of directionChanges(old, now, comparison, undefined, moved))
        if (change.peer !== HOST_NAME) yield { workload: HOST_NAME, direction, ...change, hosts: names };
    }
  }
}

/** As flows and rules call it. */
export const HOST_NAME = 'host';

function movedWorkloads(before: State, after: State): Set<string> {
  if (before.workloads === after.workloads) return new Set();
  const keys = new Set([...before.workloads.keys(), ...after.workloads.keys()]);
  return new Set([...keys].filter((key) => identityOf(before, key) !== identityOf(after, key)));
}

function identityOf(state: State, key: string): number {
  return state.workloads.get(key)?.identity ?? RESERVED.host;
}

/** @param only of these peers; absent = of all, and of everyone else */
function* directionChanges(
  before: CompiledDirection | undefined,
  after: CompiledDirection | undefined,
  comparison: Comparison,
  only: ReadonlySet<string> | undefined,
  moved: ReadonlySet<string>,
): Generator<Omit<Change, 'workload' | 'direction'>, void, void> {
  const others = tableDiff(tableOf(before, 0), tableOf(after, 0));
  if (only === undefined) for (const range of others) yield { peer: OTHERS, ...toChange(range) };
  const same = JSON.stringify(others);
  const peers = only === undefined ? namedPeers(before, after, comparison, moved) : pairsOf(only, comparison);
  for (const [peer, [was, is]] of [...peers].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const own = tableDiff(tableOf(before, was), tableOf(after, is));
    // As for everyone else: said already.
    if (only === undefined && JSON.stringify(own) === same) continue;
    for (const range of own) yield { peer, ...toChange(range) };
  }
}

function tableOf(direction: CompiledDirection | undefined, peer: number) {
  if (!direction?.enforced) return ALLOW_ALL;
  return direction.peers.get(peer) ?? direction.peers.get(0)!;
}

/** Name → identity before and after, of every peer whose table is another now. Equal tables are one object. */
function namedPeers(
  before: CompiledDirection | undefined,
  after: CompiledDirection | undefined,
  comparison: Comparison,
  moved: ReadonlySet<string>,
): Map<string, readonly [number, number]> {
  const peers = pairsOf(moved, comparison);
  const states = [comparison.before.state, comparison.after.state];
  for (const id of new Set([...(before?.peers.keys() ?? []), ...(after?.peers.keys() ?? [])])) {
    if (id === 0 || tableOf(before, id) === tableOf(after, id)) continue;
    const keys = new Set(states.flatMap((state) => state.identities.get(String(id))?.workloads ?? []));
    for (const [key, pair] of pairsOf(keys, comparison)) peers.set(key, pair);
    const name = keys.size > 0 ? undefined : (reservedName(id) ?? comparison.prefixOf(id));
    if (name !== undefined) peers.set(name, [id, id]);
  }
  return peers;
}

function pairsOf(keys: Iterable<string>, { before, after }: Comparison): Map<string, readonly [number, number]> {
  return new Map([...keys].map((key) => [key, [identityOf(before.state, key), identityOf(after.state, key)]]));
}

const WORDS = { allow: 'FORWARDED', deny: 'DROPPED', audit: 'AUDIT' } as const;

function toChange(range: RangeChange): Pick<Change, 'ports' | 'before' | 'after' | 'rule' | 'ruleBefore'> {
  const [rule] = range.rules;
  const [ruleBefore] = range.rulesBefore;
  const word = (answer: RangeChange['after']) => WORDS[answer];
  return {
    ports: rangeText(range),
    before: word(range.before),
    after: word(range.after),
    ...(rule !== undefined && { rule }),
    ...(ruleBefore !== undefined && { ruleBefore }),
  };
}

const NAMES = new Map<number, string>([
  ...Object.entries(PROTOCOLS).map(([name, number]): [number, string] => [number, name]),
  [1, 'ICMP'],
  [58, 'ICMPv6'],
  [2, 'IGMP'],
  [112, 'VRRP'],
]);

/** `6379/TCP`, `8000-8100/UDP`, `type 8/ICMP`, `everything but 53/UDP`. */
function rangeText({
  protocol,
  from,
  to,
  except = [],
}: Pick<RangeChange, 'protocol' | 'from' | 'to' | 'except'>): string {
  if (protocol === undefined)
    return except.length === 0 ? 'everything' : `everything but ${except.map((range) => rangeText(range)).join(', ')}`;
  const name = NAMES.get(protocol) ?? String(protocol);
  if (from === 0 && to === 65535) return name;
  const numbers = from === to ? String(from) : `${from}-${to}`;
  return protocol === 1 || protocol === 58 ? `type ${numbers}/${name}` : `${numbers}/${name}`;
}
