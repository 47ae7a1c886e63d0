/**
 * What host policies come to on each known host: the policy that its agent gives to its processes that no workload owns.
 * Hosts that the same rules select have the same policy, so one compiler is asked for all of them; equal tables are one
 * object, also across updates and hosts.
 */
import {
  type CompiledDirection,
  type CompiledIdentity,
  PolicyCompiler,
  type PortTable,
  type World,
} from '../core/compile.ts';
import { type Identity, type IdentityId, RESERVED, toIdentityId } from '../core/identity.ts';
import { hostIdentityLabels } from '../core/label.ts';
import type { Policy } from '../core/policy.ts';
import { indexLabels, selects } from '../core/selector.ts';
import { CLUSTER_NAME } from './plan.ts';
import type { SeenReport } from './reports.ts';

export const HOST = toIdentityId(RESERVED.host);

/** Host → its own policy; absent = nothing is enforced for it. */
export type HostsCompiled = ReadonlyMap<string, CompiledIdentity>;

/** Groups that are kept compiled: the one in force, and those that a dry run asks about. */
const KEPT = 8;

interface Group {
  readonly compiler: PolicyCompiler;
  readonly host: Identity;
}

export class HostPolicies {
  readonly #groups = new Map<string, Group>();
  readonly #tables = new Map<string, PortTable>();
  readonly #shared = new WeakMap<PortTable, PortTable>();

  compile(world: World, hosts: ReadonlyMap<string, SeenReport>): HostsCompiled {
    const policies = world.policies.flatMap(hostPart);
    const subjects = policies.flatMap(({ rules }) => rules.map(({ subject }) => subject));
    const compiled = new Map<string, CompiledIdentity>();
    if (subjects.length === 0) {
      this.#groups.clear();
      this.#tables.clear();
      return compiled;
    }
    const byGroup = new Map<string, CompiledIdentity | undefined>();
    for (const [name, { report }] of hosts) {
      const labels = hostIdentityLabels(report.labels ?? {}, CLUSTER_NAME);
      const index = indexLabels(labels);
      const key = subjects.map((subject) => (selects(subject, index) ? '1' : '0')).join('');
      if (!key.includes('1')) continue;
      if (!byGroup.has(key)) byGroup.set(key, this.#ask(key, labels, { ...world, policies }));
      const own = byGroup.get(key);
      if (own !== undefined) compiled.set(name, own);
    }
    for (const key of [...this.#groups.keys()].slice(0, -KEPT)) this.#groups.delete(key);
    return compiled;
  }

  #ask(key: string, labels: readonly string[], world: World): CompiledIdentity | undefined {
    const group = this.#groups.get(key) ?? { compiler: new PolicyCompiler(), host: { id: HOST, labels } };
    this.#groups.delete(key); // the one that was asked last is the last
    this.#groups.set(key, group);
    group.compiler.update({ ...world, identities: [...world.identities, group.host] });
    const own = group.compiler.all().get(HOST as IdentityId);
    return own && { id: own.id, ingress: this.#share(own.ingress), egress: this.#share(own.egress) };
  }

  #share({ enforced, peers }: CompiledDirection): CompiledDirection {
    return { enforced, peers: new Map([...peers].map(([id, table]) => [id, this.#one(table)])) };
  }

  #one(table: PortTable): PortTable {
    let one = this.#shared.get(table);
    if (one === undefined) {
      const text = JSON.stringify(table);
      one = this.#tables.get(text) ?? table;
      this.#tables.set(text, one);
      this.#shared.set(table, one);
    }
    return one;
  }
}

/** Rules for hosts alone; groups of prefixes, which they may name, as they are. */
function hostPart(policy: Policy): Policy[] {
  if (policy.kind === 'ccg') return [policy];
  let part = parts.get(policy);
  if (part === undefined) {
    part = { ...policy, rules: policy.rules.filter(({ host }) => host === true) };
    parts.set(policy, part);
  }
  return part.rules.length === 0 ? [] : [part];
}

const parts = new WeakMap<Policy, Policy>();
