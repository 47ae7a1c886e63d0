/**
 * The compiler: policies and identities → for each protected identity and direction, a table per peer. Fast, and equal
 * to the oracle (verdict.ts) for every connection; what the kernel holds is made from it.
 *
 * 1. `all()` has every listed identity that policy protects in at least one direction; who is absent is not restricted.
 * 2. A direction that is enforced has an entry for peer 0: every peer without an entry of its own, known or not.
 * 3. A peer's own table is complete: rules for everyone are merged in, deny over allow is resolved. One lookup decides.
 * 4. A peer whose table would equal that of peer 0 has none. Equal tables are one object, also across updates.
 * 5. Only the current world counts, never the order of changes: `update` in any steps ends where one step ends.
 * 6. A CIDR rule matches the identities of prefixes within it, world-ipv4 for 0.0.0.0/0 and world-ipv6 for ::/0. This
 *    is exact if every prefix of `cidrPrefixes` has an identity and an address has that of its longest prefix.
 * 7. Named ports: the subject's own for ingress, the peer's for egress.
 */
import { auditDirection } from './audit-table.ts';
import {
  apply,
  askPeers,
  type CompiledDirection,
  type CompiledRule,
  compileDirection,
  NOT_ENFORCED,
} from './compile-direction.ts';
import { clearest } from './denial.ts';
import { type IdentityId, isSubject, protects } from './identity.ts';
import { IdentityIndex, type Member } from './identity-index.ts';
import { PolicyOrder } from './policy-order.ts';
import { type Direction, type Policy, policyRef } from './policy-rule.ts';
import type { PortTable } from './policy-table.ts';
import { builtInDefaultDeny, policiesOf, type World } from './world.ts';

export { cidrPrefixes } from './cidr-prefixes.ts';
export type { CompiledDirection } from './compile-direction.ts';
export type { PortEntry, PortTable } from './policy-table.ts';
export type { World } from './world.ts';

export interface CompiledIdentity {
  readonly id: IdentityId;
  readonly ingress: CompiledDirection;
  readonly egress: CompiledDirection;
}

interface CompiledPolicy {
  readonly policy: Policy;
  readonly rules: readonly CompiledRule[];
}

type Settings = Pick<World, 'clusterName' | 'enforcement'>;

export class PolicyCompiler {
  readonly #order = new PolicyOrder();
  #index = new IdentityIndex();
  #policies = new Map<string, CompiledPolicy>();
  /** Subject → the rules that apply to it, by direction. */
  #applying = new Map<number, Record<Direction, Set<CompiledRule>>>();
  #compiled = new Map<IdentityId, CompiledIdentity>();
  #tables = new Map<string, PortTable>();
  #settings: Settings | undefined;
  #nextUid = 1;
  #forgetAt = 1024;

  all(): ReadonlyMap<IdentityId, CompiledIdentity> {
    return this.#compiled;
  }

  /** Takes over `world`; returns what changed since the last call, `undefined` for who is no longer protected. */
  update(world: World): ReadonlyMap<IdentityId, CompiledIdentity | undefined> {
    const dirty = new Set<number>();
    this.#takeSettings(world, dirty);
    const policies = policiesOf(world, this.#order);
    for (const [key, old] of this.#policies) {
      if (!samePolicy(old.policy, policies.get(key))) this.#removePolicy(key, old, dirty);
    }
    this.#updateIdentities(world, dirty);
    for (const [key, policy] of policies) {
      if (!this.#policies.has(key)) this.#addPolicy(key, policy, world.clusterName, dirty);
    }
    this.#rank(policies.keys());
    const changes = this.#recompile(dirty);
    this.#forgetTables();
    return changes;
  }

  #takeSettings(world: World, dirty: Set<number>): void {
    const old = this.#settings;
    this.#settings = { clusterName: world.clusterName, enforcement: world.enforcement ?? 'default' };
    if (!old || (old.clusterName === world.clusterName && old.enforcement === this.#settings.enforcement)) return;
    for (const id of this.#compiled.keys()) dirty.add(id);
    this.#index = new IdentityIndex();
    this.#policies = new Map();
    this.#applying = new Map();
  }

  #updateIdentities(world: World, dirty: Set<number>): void {
    const { changed, questions } = this.#index.update(world);
    if (changed.size === 0) return;
    for (const id of changed) dirty.add(id);
    const subjects = [...changed].filter((id) => isSubject(id));
    for (const { rules } of this.#policies.values()) {
      for (const rule of rules) {
        for (const id of questions.get(rule.subjects) ?? []) this.#toggle(rule, id);
        // Whether a rule applies to a subject depends on more than its labels: it may only now be one.
        for (const id of subjects) if (rule.subjects.ids.has(id)) this.#toggle(rule, id);
        if (rule.peers?.some((question) => questions.has(question)) || meetsNamedPorts(rule, changed)) {
          for (const id of rule.subjects.ids) dirty.add(id);
        }
      }
    }
  }

  #addPolicy(key: string, policy: Policy, clusterName: string, dirty: Set<number>): void {
    const rules = policy.rules.map((rule): CompiledRule => {
      const portNames = (rule.ports ?? []).flatMap((set) => ('name' in set ? [set.name] : []));
      return {
        uid: this.#nextUid++,
        rank: 0,
        policy: policyRef(policy),
        audit: policy.mode === 'audit',
        denial: policy.denial,
        rule,
        subjects: this.#index.askSelector(rule.subject),
        peers: askPeers(this.#index, rule.peers, clusterName),
        portNames,
        applied: portNames.length > 0 ? undefined : apply(rule, policy.denial, undefined),
      };
    });
    this.#policies.set(key, { policy, rules });
    for (const rule of rules) {
      for (const id of rule.subjects.ids) {
        dirty.add(id);
        this.#toggle(rule, id);
      }
    }
  }

  #removePolicy(key: string, { rules }: CompiledPolicy, dirty: Set<number>): void {
    this.#policies.delete(key);
    for (const rule of rules) {
      for (const id of rule.subjects.ids) {
        dirty.add(id);
        this.#applying.get(id)?.[rule.rule.direction].delete(rule);
      }
      for (const question of [rule.subjects, ...(rule.peers ?? [])]) this.#index.release(question);
    }
  }

  /** Lets a rule apply to an identity, or not, as things are now. */
  #toggle(rule: CompiledRule, id: number): void {
    const applies = rule.subjects.ids.has(id) && protects(rule.rule, id) && this.#index.get(id)?.subject === true;
    if (!applies) {
      this.#applying.get(id)?.[rule.rule.direction].delete(rule);
      return;
    }
    let applying = this.#applying.get(id);
    if (!applying) {
      applying = { ingress: new Set(), egress: new Set() };
      this.#applying.set(id, applying);
    }
    applying[rule.rule.direction].add(rule);
  }

  #rank(order: Iterable<string>): void {
    let rank = 0;
    for (const key of order) for (const rule of this.#policies.get(key)!.rules) rule.rank = rank++;
  }

  #recompile(dirty: ReadonlySet<number>): Map<IdentityId, CompiledIdentity | undefined> {
    const changes = new Map<IdentityId, CompiledIdentity | undefined>();
    const memo = new Map<string, CompiledDirection>();
    let isAdded = false;
    for (const id of [...dirty].sort((a, b) => a - b)) {
      const member = this.#index.get(id);
      const old = this.#compiled.get(id as IdentityId);
      const now = member && this.#compileIdentity(member, memo);
      if (!member) this.#applying.delete(id);
      if (now ? old && sameCompiled(old, now) : !old) continue;
      changes.set(id as IdentityId, now);
      isAdded ||= !old;
      if (now) this.#compiled.set(id as IdentityId, now);
      else this.#compiled.delete(id as IdentityId);
    }
    if (isAdded) this.#compiled = new Map([...this.#compiled].sort(([a], [b]) => a - b));
    return changes;
  }

  #compileIdentity(member: Member, memo: Map<string, CompiledDirection>): CompiledIdentity | undefined {
    const ingress = this.#compileDirection('ingress', member, memo);
    const egress = this.#compileDirection('egress', member, memo);
    return ingress.enforced || egress.enforced ? { id: member.identity.id, ingress, egress } : undefined;
  }

  #compileDirection(direction: Direction, member: Member, memo: Map<string, CompiledDirection>): CompiledDirection {
    const { mode } = member.identity;
    if (mode === 'observe') return NOT_ENFORCED;
    const rules = [...(this.#applying.get(member.id)?.[direction] ?? [])].sort((a, b) => a.rank - b.rank);
    const inForce = mode === 'audit' ? [] : rules.filter(({ audit }) => !audit);
    const strict = mode === 'audit' ? NOT_ENFORCED : this.#compileRules(direction, member, inForce, memo);
    if (inForce.length === rules.length && mode !== 'audit') return strict;
    const whole = this.#compileRules(direction, member, rules, memo);
    return whole.enforced ? auditDirection(strict, whole, (table) => this.#intern(table)) : whole;
  }

  #compileRules(
    direction: Direction,
    member: Member,
    rules: readonly CompiledRule[],
    memo: Map<string, CompiledDirection>,
  ): CompiledDirection {
    const builtIn = builtInDefaultDeny(this.#settings!, member.id);
    if (!member.subject || this.#settings!.enforcement === 'never' || (rules.length === 0 && !builtIn))
      return NOT_ENFORCED;
    const denying = rules.filter(({ rule }) => rule.defaultDeny);
    const source = denying[0]?.policy ?? builtIn;
    const defaultDeny =
      source === undefined
        ? undefined
        : { name: `default deny of ${source}`, ...clearest(denying.map(({ denial }) => denial)) };
    const ports =
      direction === 'ingress' && rules.some((rule) => rule.portNames.length > 0)
        ? JSON.stringify(member.identity.ports)
        : '';
    const key = `${direction} ${rules.map(({ uid }) => uid).join()} ${defaultDeny?.name} ${ports}`;
    let compiled = memo.get(key);
    if (!compiled) {
      compiled = compileDirection(this.#index, direction, member, rules, defaultDeny, (table) => this.#intern(table));
      memo.set(key, compiled);
    }
    return compiled;
  }

  #intern(table: PortTable): PortTable {
    const key = JSON.stringify(table);
    const same = this.#tables.get(key);
    if (same) return same;
    this.#tables.set(key, table);
    return table;
  }

  /** Keeps at most twice as many tables as are in use. */
  #forgetTables(): void {
    if (this.#tables.size < this.#forgetAt) return;
    const used = new Set<PortTable>();
    for (const { ingress, egress } of this.#compiled.values()) {
      for (const direction of [ingress, egress]) for (const table of direction.peers.values()) used.add(table);
    }
    for (const [key, table] of this.#tables) if (!used.has(table)) this.#tables.delete(key);
    this.#forgetAt = Math.max(1024, 2 * this.#tables.size);
  }
}

/** Whether one of `changed` is a peer whose own ports the rule looks names up in; ingress looks in the subject's. */
function meetsNamedPorts({ rule, peers, portNames }: CompiledRule, changed: ReadonlySet<number>): boolean {
  if (portNames.length === 0 || rule.direction === 'ingress') return false;
  if (!peers) return true;
  for (const id of changed) if (peers.some((question) => question.ids.has(id))) return true;
  return false;
}

function samePolicy(a: Policy, b: Policy | undefined): boolean {
  return (
    a === b ||
    (b !== undefined &&
      a.mode === b.mode &&
      a.denial === b.denial &&
      JSON.stringify(a.rules) === JSON.stringify(b.rules))
  );
}

function sameCompiled(a: CompiledIdentity, b: CompiledIdentity): boolean {
  return sameDirection(a.ingress, b.ingress) && sameDirection(a.egress, b.egress);
}

/** Equal tables are one object, so this compares by reference. */
function sameDirection(a: CompiledDirection, b: CompiledDirection): boolean {
  if (a.enforced !== b.enforced || a.audit !== b.audit || a.peers.size !== b.peers.size) return false;
  for (const [id, table] of a.peers) if (b.peers.get(id) !== table) return false;
  return true;
}
