import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { HostSelector } from '../../src/core/host-selector.ts';
import { findOverlaps } from '../../src/core/match-overlap.ts';
import type { MatchClause } from '../../src/core/workload.ts';

const test = suite('overlaps of registrations');

const registration = (ref: string, match: MatchClause, createdRevision: number, priority = 0) => ({
  ref,
  match: [match],
  createdRevision,
  priority,
});

const JAVA = '/usr/lib/jvm/*/bin/java';
const rows: [what: string, own: MatchClause, other: MatchClause, answer: [winner: string, by: string] | null][] = [
  [
    'any Java, by arguments',
    { process: { exe: '/usr/lib/jvm/17/bin/java', args: ['-jar'] } },
    { process: { exe: JAVA } },
    ['n/own', 'args'],
  ],
  ['the same clause, by age', { systemdUnit: 'a.service' }, { systemdUnit: 'a.service' }, ['n/other', 'created']],
  ['a unit and its glob', { systemdUnit: 'tomcat@1.service' }, { systemdUnit: 'tomcat@*' }, ['n/own', 'cgroup']],
  ['a cgroup and one below', { cgroup: 'a.slice' }, { cgroup: 'a.slice/b.slice' }, ['n/other', 'cgroup']],
  ['ports in a range', { listen: ['80/tcp'] }, { listen: ['1-100/tcp'] }, ['n/other', 'created']],
  ['one user', { process: { user: 'app', exe: '/a' } }, { process: { user: 'app' } }, ['n/own', 'exe']],
  ['two Tomcats', { process: { exe: JAVA, args: ['-Db=1'] } }, { process: { exe: JAVA, args: ['-Db=2'] } }, null],
  ['two Oracles', { process: { exe: '/o', env: ['S=1'] } }, { process: { exe: '/o', env: ['S=2'] } }, null],
  ['other users', { process: { exe: '/o', user: 'a' } }, { process: { exe: '/o', user: 'b' } }, null],
  ['other files', { process: { exe: '/a' } }, { process: { exe: '/b' } }, null],
  ['a unit here, an executable there', { systemdUnit: 'a.service' }, { process: { exe: '/b' } }, null],
  ['other protocols', { listen: ['53/tcp'] }, { listen: ['53/udp'] }, null],
];
for (const [what, own, other, answer] of rows) {
  test(`${what}: ${answer === null ? 'no overlap' : `${answer[0]} wins by ${answer[1]}`}`, () => {
    const mine = registration('n/own', own, 2);
    const theirs = registration('n/other', other, 1);
    const wanted = answer === null ? [] : [{ workload: 'n/other', winner: answer[0], by: answer[1] }];
    assert.equal(findOverlaps(mine, [mine, theirs]), wanted);
    const mirrored = findOverlaps(theirs, [mine, theirs]);
    assert.equal(
      mirrored.map(({ winner }) => winner),
      wanted.map(({ winner }) => winner),
    );
  });
}

test('priority decides before what the clauses say', () => {
  const mine = registration('n/own', { process: { exe: JAVA, args: ['x'] } }, 2);
  const theirs = registration('n/other', { process: { exe: JAVA } }, 1, 5);
  assert.equal(findOverlaps(mine, [theirs]), [{ workload: 'n/other', winner: 'n/other', by: 'priority' }]);
});

test('registrations for different hosts do not overlap', () => {
  const on = (ref: string, hosts: HostSelector) => ({ ...registration(ref, { systemdUnit: 'a.service' }, 1), hosts });
  const fra = on('n/fra', { matchLabels: { site: 'fra' } });
  const expression = (operator: 'In' | 'NotIn' | 'DoesNotExist', values?: string[]): HostSelector => ({
    matchExpressions: [{ key: 'site', operator, ...(values && { values }) }],
  });
  const others: [HostSelector, boolean][] = [
    [{ matchLabels: { site: 'nyc' } }, false],
    [{ matchLabels: { site: 'fra', tier: 'db' } }, true],
    [{ matchLabels: { tier: 'db' } }, true],
    [expression('In', ['nyc', 'fra']), true],
    [expression('In', ['nyc', 'ams']), false],
    [expression('NotIn', ['nyc']), true],
    [expression('NotIn', ['fra']), false],
    [expression('DoesNotExist'), false],
  ];
  for (const [hosts, isListed] of others)
    assert.is(findOverlaps(fra, [on('n/other', hosts)]).length === 1, isListed, JSON.stringify(hosts));
  assert.is(findOverlaps(fra, [registration('n/all', { systemdUnit: 'a.service' }, 1)]).length, 1);
});

test.run();
