// @timeout 120
import { isDeepStrictEqual } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PolicyCompiler } from '../../src/core/compile.ts';
import { lookupVerdict } from '../../src/core/compile-lookup.ts';
import { parsePolicy } from '../../src/core/policy.ts';
import { verdict } from '../../src/core/verdict.ts';
import { type Case, type Probe, readCase, readTable } from './conformance-case.ts';

/** Rows that need what this version refuses: feature → cases and probes. The rest is in scope, and all of it must hold. */
const OUT_OF_SCOPE = {
  'cilium-l3l4': {
    'fromRequires is not supported: Cilium removed it in 1.19': { cases: 2, probes: 24 },
    'nodeSelector is not supported yet': { cases: 2, probes: 154 },
    'icmps is not supported yet': { cases: 2, probes: 68 },
    'toFQDNs is not supported yet': { cases: 2, probes: 14 },
    'rules.http is not supported yet': { cases: 107, probes: 1284 },
  },
  'k8s-networkpolicy': {},
} as const;
const IN_SCOPE = { 'cilium-l3l4': 2653, 'k8s-networkpolicy': 97342 } as const;

for (const table of ['cilium-l3l4', 'k8s-networkpolicy'] as const) {
  const rows = readTable<Case>(table);

  test(`${table}: rows that are out of scope are those of known features`, () => {
    const refused: Record<string, { cases: number; probes: number }> = {};
    for (const row of rows) {
      const read = readCase(row);
      if (!('refused' in read)) continue;
      assert.ok(
        read.refused.every(({ code }) => code === 'not-supported'),
        JSON.stringify(read.refused),
      );
      const feature = read.refused[0]!.message;
      const { cases, probes } = refused[feature] ?? { cases: 0, probes: 0 };
      refused[feature] = { cases: cases + 1, probes: probes + row.probes.length };
    }
    assert.equal(refused, OUT_OF_SCOPE[table]);
  });

  test(`${table}: the oracle gives every expected verdict, and the compiled tables give the oracle's`, () => {
    assert.is(judge(rows), IN_SCOPE[table]);
  });
}

test('cilium-l3l4: a rule with HTTP admits the connection as the same rule without', () => {
  const rows = readTable<Case>('cilium-l3l4').filter((row) => JSON.stringify(row.policies).includes('"http"'));
  assert.is(judge(rows.map((row) => ({ ...row, policies: withoutL7(row.policies) as unknown[] }))), 1284);
});

/** Judges every probe of the rows that are in scope; the number of probes. */
function judge(rows: readonly Case[]): number {
  let probes = 0;
  // One compiler walks from case to case, one starts anew: what remains of the past would show.
  const walking = new PolicyCompiler();
  for (const row of rows) {
    const read = readCase(row);
    if ('refused' in read) continue;
    const compiler = new PolicyCompiler();
    compiler.update(read.world);
    walking.update(read.world);
    assert.ok(isDeepStrictEqual(walking.all(), compiler.all()), `${row.name}: compiled differently after other cases`);
    for (const probe of row.probes) {
      probes++;
      const connection = read.connection(probe);
      const oracle = verdict(read.world, connection);
      const where = () => `${row.name} ${JSON.stringify(probe)}: ${JSON.stringify(oracle)}`;
      if ((oracle.verdict === 'FORWARDED') !== allowed(probe.expectCilium ?? probe.expect)) assert.unreachable(where());
      if (!sidesAgree(probe, oracle)) assert.unreachable(where());
      if (!isDeepStrictEqual(lookupVerdict(compiler.all(), connection), oracle))
        assert.unreachable(`compiled otherwise: ${where()}`);
    }
  }
  return probes;
}

function sidesAgree(probe: Probe, oracle: ReturnType<typeof verdict>): boolean {
  if (probe.expectCilium) return true;
  return (['ingress', 'egress'] as const).every(
    (side) => probe[side] === undefined || allowed(probe[side]) === (oracle[side].verdict === 'FORWARDED'),
  );
}

function allowed(expected: string): boolean {
  return expected === 'allow';
}

function withoutL7(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutL7);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => key !== 'rules')
      .map(([key, member]) => [key, withoutL7(member)]),
  );
}

interface Validity {
  readonly name: string;
  readonly policies: readonly unknown[];
  readonly expect: 'accept' | 'reject';
}

/** Valid, but needs a feature that this version refuses. */
const VALID_BUT_NOT_SUPPORTED: Readonly<Record<string, string>> = {
  'valid/dns-on-egress-any': 'rules.dns is not supported yet',
  'valid/node-selector-ccnp': 'nodeSelector is not supported yet',
};

for (const row of readTable<Validity>('cilium-validity')) {
  const reason = VALID_BUT_NOT_SUPPORTED[row.name];
  test(`${row.name}: ${reason ?? row.expect}`, () => {
    const [parsed] = row.policies.map((document) => parsePolicy(document));
    if (!reason) assert.is(parsed!.ok, row.expect === 'accept', JSON.stringify(parsed));
    else assert.ok(!parsed!.ok && parsed!.status === 422 && parsed!.errors.some(({ message }) => message === reason));
  });
}

interface Example {
  readonly file: string;
  readonly parsed: 'accepted' | 'rejected';
  readonly document: unknown;
}

test("Cilium's example policies are read, or refused by the name of what is missing", () => {
  const refused: Record<string, number> = {};
  let read = 0;
  for (const { file, document } of readTable<Example>('policies.parse')) {
    const parsed = parsePolicy(document);
    if (parsed.ok) read++;
    else {
      const message = parsed.errors[0]!.message;
      assert.ok(
        parsed.errors.every(({ code }) => code === 'not-supported') || message.includes('auth'),
        `${file}: ${JSON.stringify(parsed.errors)}`,
      );
      refused[message] = (refused[message] ?? 0) + 1;
    }
  }
  assert.is(read, 33);
  assert.equal(refused, {
    '`auth` is called `authentication`': 1, // Cilium's parser drops the unknown field; we refuse it
    'rules.http is not supported yet': 6,
    'rules.dns is not supported yet': 4,
    'rules.kafka is not supported yet': 3,
    'icmps is not supported yet': 1,
    'serverNames is not supported yet': 1,
    'fromRequires is not supported: Cilium removed it in 1.19': 1,
    'toServices is not supported yet': 1,
    'fromNodes is not supported yet': 1,
    'nodeSelector is not supported yet': 5,
  });
});

test.run();
