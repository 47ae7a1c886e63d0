import type { Denial } from '../core/denial.ts';
import type { PortTable } from '../core/policy-table.ts';
import { portPrefixes } from '../core/port-prefix.ts';
import { contentHash } from './hash.ts';
import type { L4Key, L4Val } from './postern.skel.ts';
import type { RuleTable } from './rule-table.ts';

export const POLICY_ALLOW = 1;
export const POLICY_DENY = 2;
export const POLICY_DEFAULT_DENY = 3;
/** Beside one of the two denials: recorded, and forwarded. */
export const POLICY_AUDIT = 8;
/** Beside one of the two denials: how it feels. */
export const DENIAL_BITS = { eperm: 0, refused: 16, timeout: 32 } as const satisfies Record<Denial, number>;

/** L4_FALLBACK of bpf/abi.h: the length of what counts where no port matches. */
export const L4_FALLBACK = 255;

/** What policy_l3 holds for one peer: inline, or a reference to a table of policy_l4. */
export interface PeerValue {
  /** 0 = inline. */
  readonly table: number;
  /** Bit n: the table has entries of n bits. */
  readonly lengths: number;
  readonly rule: number;
  readonly verdict: number;
  /** An entry for a single port, which answers without the table; protocol 0 = none. */
  readonly port: number;
  readonly port_protocol: number;
  readonly port_rule: number;
  readonly port_verdict: number;
}

export const NO_PORT = { port: 0, port_protocol: 0, port_rule: 0, port_verdict: 0 };

export type L4Entry = readonly [L4Key, L4Val];

/**
 * Port tables as numbered, immutable sets of policy_l4 entries, shared by all peers that answer alike. A number depends
 * on the content; tables that no peer refers to any more are removed after the flip.
 */
export class PortTables {
  readonly #byTable = new WeakMap<PortTable, PeerValue>();
  readonly #entries = new Map<number, readonly L4Entry[]>();
  readonly #numbers = new Map<string, number>();
  readonly #rules: RuleTable;
  readonly #denial: Denial;

  /** @param denial how a denial feels of which no policy says it */
  constructor(rules: RuleTable, denial: Denial = 'eperm') {
    this.#rules = rules;
    this.#denial = denial;
  }

  /** The value for a peer with this table. The entries of its number are in `entries()`. */
  value(table: PortTable): PeerValue {
    const known = this.#byTable.get(table);
    if (known !== undefined) return known;
    const fallback = this.#answer(table.fallback);
    const value =
      table.entries.length === 0
        ? { table: 0, lengths: 0, ...fallback, ...NO_PORT }
        : { table: this.#intern(table), lengths: lengthsOf(table), ...fallback, ...this.#singlePort(table) };
    this.#byTable.set(table, value);
    return value;
  }

  entries(number: number): readonly L4Entry[] {
    return this.#entries.get(number) ?? [];
  }

  #intern(table: PortTable): number {
    const build = (number: number): L4Entry[] => [
      l4(number, L4_FALLBACK, 0, 0, this.#answer(table.fallback)),
      ...table.entries.flatMap((entry) =>
        portPrefixes(entry.from, entry.to).map(({ port, prefixLength }) =>
          l4(number, prefixLength, entry.protocol, port, this.#answer(entry)),
        ),
      ),
    ];
    const content = JSON.stringify(build(0));
    const known = this.#numbers.get(content);
    if (known !== undefined) return known;
    let number = contentHash(content);
    while (this.#entries.has(number)) number = (number + 1) >>> 0 || 1;
    this.#numbers.set(content, number);
    this.#entries.set(number, build(number));
    return number;
  }

  /** Rather one that allows: what is denied may take longer. */
  #singlePort({ entries }: PortTable): typeof NO_PORT {
    const single = entries.filter(({ protocol, from, to }) => protocol !== 0 && from === to);
    const entry = single.find(({ verdict }) => verdict === 'allow') ?? single[0];
    if (entry === undefined) return NO_PORT;
    const { rule, verdict } = this.#answer(entry);
    return { port: entry.from, port_protocol: entry.protocol, port_rule: rule, port_verdict: verdict };
  }

  #answer(answer: PortTable['fallback']): { rule: number; verdict: number } {
    const isDefault = answer.verdict !== 'allow' && (answer.rules[0] ?? '').startsWith('default deny');
    const denial = (isDefault ? POLICY_DEFAULT_DENY : POLICY_DENY) | (answer.verdict === 'audit' ? POLICY_AUDIT : 0);
    const feels = answer.verdict === 'deny' ? DENIAL_BITS[answer.denial ?? this.#denial] : 0;
    const verdict = answer.verdict === 'allow' ? POLICY_ALLOW : denial | feels;
    return { rule: this.#rules.number(answer.rules), verdict };
  }
}

function lengthsOf(table: PortTable): number {
  let lengths = 0;
  for (const { from, to } of table.entries)
    for (const { prefixLength } of portPrefixes(from, to)) lengths |= 1 << prefixLength;
  return lengths;
}

function l4(
  table: number,
  length: number,
  protocol: number,
  port: number,
  answer: { rule: number; verdict: number },
): L4Entry {
  return [
    { table, port, protocol, length },
    { ...answer, pad: new Uint8Array(3) },
  ];
}
