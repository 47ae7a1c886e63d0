/** Sets of `labelsFrom` are clauses of their own: more telling than the one that they are made of, and nothing else. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { valuesOf } from '../../src/core/derived-identity.ts';
import { decideProcess, type ProcessFacts } from '../../src/core/match-decide.ts';
import { labelsText, type NamedSet } from '../../src/core/match-derived.ts';
import { clauseNow, compileMatch, type MatchProgram } from '../../src/core/match-program.ts';
import type { MatchClause } from '../../src/core/workload.ts';
import { FACTS, registered } from './match-world.ts';

const test = suite('sets of labelsFrom');

const JAVA = '/usr/lib/jvm/java-17/bin/java';
const set = (identity: number, more: Omit<NamedSet, 'identity' | 'clause' | 'labels'>, name = 'x'): NamedSet => ({
  clause: 0,
  labels: [`process:${name}=${identity}`],
  identity,
  ...more,
});

/** The first workload of the table has these sets. */
function program(table: Record<string, MatchClause>, sets: readonly NamedSet[]): MatchProgram {
  const [first, ...others] = registered(table);
  return compileMatch([{ ...first!, sets }, ...others], FACTS);
}

function identityOf(compiled: MatchProgram, facts: Partial<ProcessFacts>): number | undefined {
  return decideProcess(compiled, { args: [], uid: 1000, cgroup: '/', ...facts }).clause?.identity;
}

test('who has the values has the identity of the set, who meets the clause alone that of the registration', () => {
  const compiled = program({ 'n/java': { process: { exe: '/usr/lib/jvm/*/bin/java', user: 'tomcat' } } }, [
    set(7, { exe: JAVA }),
  ]);
  const uid = FACTS.uids.get('tomcat')!;
  assert.is(identityOf(compiled, { exe: JAVA, uid }), 7);
  assert.is(identityOf(compiled, { exe: '/usr/lib/jvm/java-11/bin/java', uid }), 65792);
  assert.is(identityOf(compiled, { exe: JAVA, uid: 0 }), undefined, 'the clause must hold all the same');
});

test('a set wins over no other workload over which its clause does not', () => {
  const table = {
    'n/weak': { process: { exe: JAVA } },
    'n/strong': { process: { exe: JAVA, user: 'tomcat' } },
  };
  const uid = FACTS.uids.get('tomcat')!;
  const compiled = program(table, [set(7, { exe: JAVA, uid, cgroups: ['a/b'] })]);
  const facts = { exe: JAVA, uid, cgroup: '/a/b' };
  assert.is(identityOf(compiled, facts), 65793, 'the user of a set proves nothing of the registration');
  assert.is(identityOf(compiled, { ...facts, uid: uid + 1 }), 65792);
  assert.ok([...compiled.clauses].find(({ identity }) => identity === 7)!.spoofable !== null);
});

test('of two sets the one with more conditions wins, then the deeper cgroup', () => {
  const unit = { 'n/unit': { systemdUnit: 'erp*.slice' } };
  const compiled = program(unit, [set(7, { cgroups: ['erp.slice'] }), set(8, { cgroups: ['erp.slice/erp-db.slice'] })]);
  assert.is(identityOf(compiled, { cgroup: '/erp.slice/erp-db.slice/x.service' }), 8);
  assert.is(identityOf(compiled, { cgroup: '/erp.slice/y.service' }), 7);
  assert.is(identityOf(compiled, { cgroup: '/erp-b.slice' }), 65792);
  const both = program({ 'n/java': { process: { user: '5', exe: JAVA } } }, [
    set(7, { exe: JAVA }),
    set(8, { exe: JAVA, uid: 5 }),
  ]);
  assert.is(identityOf(both, { exe: JAVA, uid: 5 }), 8);
});

test('what a process is known to have counts, whatever it looks like by now', () => {
  const sets = [set(7, { exe: JAVA, uid: 0 }, 'user'), set(8, { exe: JAVA, uid: 5 }, 'user')];
  const table = { 'n/java': { process: { exe: JAVA, args: ['-Dinst=one'] } } };
  const compiled = program(table, sets);
  const rankOf = (identity: number) => compiled.clauses.find((clause) => clause.identity === identity)!.rank;
  const known = (n: number) => ({ workload: 'n/java', clause: 0, labels: labelsText(sets[n]!) });
  // its arguments are rewritten, and it gave up root
  const now = { exe: JAVA, uid: 5, args: ['java: ready'] };
  for (const metAtExec of [rankOf(65792), rankOf(7), rankOf(8)]) {
    assert.is(identityOf(compiled, { ...now, metAtExec, derived: known(0) }), 7);
    assert.is(identityOf(compiled, { ...now, metAtExec, derived: known(1) }), 8);
  }
  assert.is(identityOf(compiled, { ...now, metAtExec: rankOf(65792) }), 65792);
  const gone = { workload: 'n/java', clause: 0, labels: 'process:user=9' };
  assert.is(identityOf(compiled, { ...now, metAtExec: rankOf(7), derived: gone }), 65792);
});

test('a set that is gone is remembered as the clause that it was made of', () => {
  const table = { 'n/java': { process: { exe: JAVA, user: '5' } } };
  const before = program(table, [set(7, { exe: JAVA })]);
  const clause = before.clauses.find(({ identity }) => identity === 7)!;
  assert.is(clauseNow(before, clause), clause);
  assert.is(clauseNow(program(table, []), clause)?.identity, 65792);
});

test('a value is written as a selector can name it, or adds nothing', () => {
  const names = ['process:exe', 'systemd:unit', 'container:image', 'container:empty', 'host:site'];
  const derived = [
    'process:exe=/usr/sbin/nginx',
    'process:user=root',
    'systemd:unit=tomcat@a.service',
    'container:image=reg.example/app:1.2',
    `container:empty=${'a'.repeat(64)}`,
    'host:site=fra',
  ];
  assert.equal(valuesOf(names, derived), [
    'container:image=reg.example.app_1.2',
    'process:exe=usr.sbin.nginx',
    'systemd:unit=tomcat_a.service',
  ]);
});

test.run();
