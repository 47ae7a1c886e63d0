// @timeout 120
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PolicyCompiler } from '../../src/core/compile.ts';
import { lookupVerdict } from '../../src/core/compile-lookup.ts';
import { parsePolicy, UNDERSTOOD } from '../../src/core/policy.ts';
import { isMalformed } from '../../src/core/policy-case.ts';
import { verdict } from '../../src/core/verdict.ts';
import { type Case, type Probe, readCase, readTable } from './conformance-case.ts';

/** Table → case → the first field that it uses and this version does not support. */
const REFUSED = JSON.parse(readFileSync(new URL('../conformance/refused.json', import.meta.url), 'utf8')) as Record<
  string,
  Record<string, string>
>;
/** How many probes are left, so that none gets lost. */
const JUDGED = { 'cilium-l3l4': 2875, 'cilium-l7': 2, 'k8s-networkpolicy': 97342 } as const;

for (const table of Object.keys(JUDGED) as (keyof typeof JUDGED)[]) {
  const rows = readTable<Case>(table);

  test(`${table}: the cases that are refused are those of refused.json, each by the name of a field`, () => {
    const refused: Record<string, string> = {};
    for (const row of rows) {
      const read = readCase(row);
      if (!('refused' in read)) continue;
      assert.not.ok(isMalformed(read.refused), `${row.name}: ${JSON.stringify(read.refused)}`);
      refused[row.name] = read.refused[0]!.message;
    }
    assert.equal(refused, REFUSED[table] ?? {});
  });

  test(`${table}: the oracle gives every other verdict as expected, and the compiled tables give the oracle's`, () => {
    assert.is(judge(rows), JUDGED[table]);
  });
}

test('cilium-l3l4: a rule with HTTP admits the connection as the same rule without', () => {
  const rows = readTable<Case>('cilium-l3l4').filter((row) => JSON.stringify(row.policies).includes('"http"'));
  assert.is(judge(rows.map((row) => ({ ...row, policies: withoutL7(row.policies) as unknown[] }))), 1284);
});

/** Judges every probe of the cases that are not refused; the number of probes. */
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

for (const { name, policies, expect } of readTable<Validity>('cilium-validity')) {
  test(`cilium-validity: ${name} is ${expect === 'reject' ? 'malformed' : 'not malformed'}`, () => {
    for (const document of policies) assert.is(isRejected(document), expect === 'reject', JSON.stringify(document));
  });
}

interface Example {
  readonly file: string;
  readonly parsed: 'accepted' | 'rejected';
  readonly document: unknown;
}

test("Cilium's example policies are malformed exactly where Cilium's parser says so", () => {
  for (const { file, parsed, document } of readTable<Example>('policies.parse')) {
    assert.is(isRejected(document), parsed === 'rejected', `${file}: ${JSON.stringify(parsePolicy(document))}`);
  }
});

test("Cilium's example policies are understood, but for what is named here", () => {
  const refused: Record<string, number> = {};
  for (const { document } of readTable<Example>('policies.parse')) {
    const parsed = parsePolicy(document, UNDERSTOOD);
    if (!parsed.ok) refused[parsed.errors[0]!.message] = (refused[parsed.errors[0]!.message] ?? 0) + 1;
  }
  assert.equal(refused, {
    'auth is not supported: it is called `authentication` since Cilium 1.14': 1,
    'rules.http is not supported yet: there is no proxy': 6,
    'rules.dns is not supported yet: there is no proxy': 4,
    'rules.kafka is not supported yet: there is no proxy': 3,
    'serverNames is not supported yet: there is no proxy': 1,
    'fromRequires is not supported: Cilium removed it in 1.19': 1,
    'toServices is not supported yet: there are no services': 1,
  });
});

function isRejected(document: unknown): boolean {
  const parsed = parsePolicy(document, UNDERSTOOD);
  return !parsed.ok && parsed.status === 400;
}

test.run();
