import type { WireIdentity, WirePolicy } from '../api/agent-stream.ts';
import { canonicalPrefix } from '../core/cidr.ts';
import { cidrPrefixes, policyPrefixes } from '../core/cidr-prefixes.ts';
import type { World } from '../core/compile.ts';
import { type Identity, type IdentityId, localIdentity, RESERVED, toIdentityId } from '../core/identity.ts';
import { hostIdentityLabels } from '../core/label.ts';
import { LISTENING, type NamedPort, readNamedPorts } from '../core/named-port.ts';
import { type Policy, parsePolicy } from '../core/policy.ts';
import { contentHash } from '../datapath/hash.ts';
import { type DesiredState, policyKey } from './desired-state.ts';

/** Documents → what the compiler takes; parsed once per document. */
export class PolicyWorld {
  #parsed = new Map<string, { readonly wire: WirePolicy; readonly policy: Policy }>();
  readonly #listening: (identity: number) => readonly NamedPort[];
  readonly #enforcement: NonNullable<World['enforcement']>;
  readonly #hostLabels: Readonly<Record<string, string>>;
  #identities = new WeakMap<WireIdentity, Identity>();
  #prefixes: { readonly lists: readonly (readonly string[])[]; readonly cidrs: World['cidrs'] } = {
    lists: [],
    cidrs: [],
  };

  /** @param listening what an identity listens on now, on this host @param enforcement the host's own setting */
  constructor(
    listening: (identity: number) => readonly NamedPort[],
    enforcement: NonNullable<World['enforcement']> = 'default',
    hostLabels: Readonly<Record<string, string>> = {},
  ) {
    this.#hostLabels = hostLabels;
    this.#listening = listening;
    this.#enforcement = enforcement;
  }

  /** Throws when a document is not one that this agent understands: the whole revision is refused then. */
  of(state: DesiredState): World {
    const parsed = new Map<string, { readonly wire: WirePolicy; readonly policy: Policy }>();
    for (const [key, wire] of state.policies) {
      const known = this.#parsed.get(key);
      parsed.set(key, known?.wire === wire ? known : { wire, policy: parse(wire) });
    }
    this.#parsed = parsed;
    const policies = [...parsed.values()].map(({ policy }) => policy);
    return {
      identities: [...state.identities.values()]
        .map((wire) => this.#identity(wire))
        .concat(this.#host(policies, state)),
      cidrs: this.#numbered(policies),
      policies,
      namespaces: Object.fromEntries(state.namespaces),
      clusterName: state.clusterName,
      enforcement: this.#enforcement,
    };
  }

  /** The same prefixes again are the same objects again: ten thousand are not sorted and numbered for every change. */
  #numbered(policies: readonly Policy[]): World['cidrs'] {
    const before = this.#prefixes.lists;
    const lists = policies.map(policyPrefixes);
    const isSame = lists.length === before.length && lists.every((list, i) => sameTexts(list, before[i]!));
    this.#prefixes = { lists, cidrs: isSame ? this.#prefixes.cidrs : numberPrefixes(cidrPrefixes(policies)) };
    return this.#prefixes.cidrs;
  }

  /** The host as host policies select it; nobody's subject where there are none. */
  #host(policies: readonly Policy[], { clusterName }: DesiredState): Identity[] {
    if (!policies.some(({ rules }) => rules.some(({ host }) => host))) return [];
    return [{ id: toIdentityId(RESERVED.host), labels: hostIdentityLabels(this.#hostLabels, clusterName) }];
  }

  #identity(wire: WireIdentity): Identity {
    const isListening = Object.values(wire.ports ?? {}).includes(LISTENING);
    const known = isListening ? undefined : this.#identities.get(wire);
    if (known !== undefined) return known;
    const ports = readNamedPorts(wire.ports ?? {}, () => this.#listening(wire.id));
    const identity = {
      id: toIdentityId(wire.id),
      labels: wire.labels,
      ...(ports === undefined ? {} : { ports }),
      ...(wire.mode === undefined ? {} : { mode: wire.mode }),
    };
    this.#identities.set(wire, identity);
    return identity;
  }
}

function parse(wire: WirePolicy): Policy {
  const result = parsePolicy(wire.document);
  if (result.ok) return result.value;
  const { path, message } = result.errors[0]!;
  throw new Error(`${policyKey(wire)} is not understood by this agent: ${path} ${message}`);
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((text, i) => text === b[i]));
}

/** Local numbers that depend on the prefix alone (a collision moves to the next free one, in the order of the prefixes). */
export function numberPrefixes(prefixes: readonly string[]): { id: IdentityId; prefix: string }[] {
  const taken = new Set<number>();
  return prefixes.map((text) => {
    const prefix = canonicalPrefix(text)!;
    let number = contentHash(prefix) & 0xffffff || 1;
    while (taken.has(number)) number = (number + 1) & 0xffffff || 1;
    taken.add(number);
    return { id: localIdentity(number), prefix };
  });
}
