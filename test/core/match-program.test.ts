import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { claimOf } from '../../src/core/match-claim.ts';
import { compileMatch } from '../../src/core/match-program.ts';
import type { MatchClause } from '../../src/core/workload.ts';
import { FACTS, program, registered } from './match-world.ts';

/** Larger first. */
function order(table: Record<string, MatchClause>): string[] {
  const { clauses, late } = program(table);
  const ranks = new Map([...clauses, ...late].map((clause) => [clause.workload, clause.rank]));
  return [...ranks].sort((a, b) => b[1] - a[1]).map(([workload]) => workload);
}

const JAVA = '/usr/lib/jvm/java-17/bin/java';
const decides: [field: string, larger: MatchClause, smaller: MatchClause][] = [
  ['spoofable', { systemdUnit: 'x*' }, { process: { exe: JAVA, args: ['a', 'b'] } }],
  [
    'args',
    { process: { user: 'tomcat', args: ['a'] } },
    { process: { exe: JAVA, user: 'tomcat' }, systemdUnit: 'x.service' },
  ],
  ['exe', { process: { exe: JAVA, user: 'tomcat' } }, { process: { exe: '/usr/lib/jvm/*/bin/java', user: 'tomcat' } }],
  ['exe over cgroup', { process: { exe: '/usr/lib/jvm/*/bin/java', user: 'tomcat' } }, { systemdUnit: 'x.service' }],
  ['cgroup exact', { systemdUnit: 'x.service' }, { cgroup: 'a/b/c/d/e*' }],
  ['depth', { cgroup: 'a/b/c' }, { cgroup: 'a/bbbbbbbbbbbbbbbbbbbb' }],
  ['a unit over any slice', { systemdUnit: 'x.service' }, { cgroup: 'erp.slice/erp-db.slice/erp-db-a.slice' }],
  ['a folder in a unit over the unit', { cgroup: 'system.slice/x.service/work' }, { systemdUnit: 'x.service' }],
  ['user', { systemdUnit: 'x.service', process: { user: 'tomcat' } }, { systemdUnit: 'xxxxxx.service' }],
  ['listen', { systemdUnit: 'x.service', listen: ['80/tcp'] }, { systemdUnit: 'xxxxx.service' }],
  [
    'env counts as an argument',
    { process: { user: 'oracle', env: ['ORACLE_SID=PROD'] } },
    { process: { user: 'oracle', exe: '/u01/bin/oracle' } },
  ],
  [
    'argsRegex after a counted argument',
    { process: { user: 'oracle', args: ['a'] } },
    { process: { user: 'oracle', argsRegex: 'aaaaaaa' } },
  ],
  ['argsRegex', { process: { argsRegex: 'a' } }, { process: { exe: JAVA } }],
  [
    'a script besides the executable',
    { process: { exe: JAVA, script: '/srv/*.jar', user: 'app' } },
    { process: { exe: JAVA, user: 'app' }, systemdUnit: 'x.service' },
  ],
  ['an exact script', { process: { script: '/srv/a.py' } }, { process: { script: '/srv/bbbbbbbbb*.py' } }],
  ['literal', { systemdUnit: 'tomcat-*.service' }, { systemdUnit: 'tom*.service' }],
];
for (const [field, larger, smaller] of decides) {
  test(`precedence: ${field}`, () => {
    assert.equal(order({ 'n/a': larger, 'n/b': smaller }), ['n/a', 'n/b']);
    assert.equal(order({ 'n/a': smaller, 'n/b': larger }), ['n/b', 'n/a']);
  });
}

test('priority is before all that clauses say, and after who could forge them', () => {
  const [low, high] = registered({
    'n/low': { process: { exe: JAVA, user: 'tomcat', args: ['a'] } },
    'n/high': { systemdUnit: 'x*' },
  });
  const [, forgeable] = registered({ 'n/x': { systemdUnit: 'x*' }, 'n/forgeable': { process: { exe: JAVA } } });
  const { clauses } = compileMatch([low!, { ...high!, priority: 1 }, { ...forgeable!, priority: 1000 }], FACTS);
  assert.equal(
    clauses.map(({ workload }) => workload),
    ['n/forgeable', 'n/low', 'n/high'],
  );
});

test('a script that others can write is spoofable even with a user', () => {
  const facts = { ...FACTS, untrusted: new Set(['/srv/a.py']) };
  const { clauses } = program({ 'n/a': { process: { script: '/srv/a.py', user: 'app' } } }, facts);
  assert.is(clauses[0]!.spoofable, 'whoever can write /srv/a.py');
});

test('of equal clauses the older registration wins', () => {
  assert.equal(order({ 'n/b': { systemdUnit: 'x.service' }, 'n/a': { systemdUnit: 'y.service' } }), ['n/b', 'n/a']);
});

const spoofable: [MatchClause, string | null][] = [
  [{ systemdUnit: 'a.service' }, null],
  [{ cgroup: 'postern.slice/**' }, null],
  [{ cgroup: 'user.slice/user-1001.slice' }, null],
  [{ cgroup: 'user.slice/user-1001.slice/user@1001.service/**' }, null],
  [{ cgroup: 'user.slice/**/libpod-*.scope' }, 'any local user, below the own user@.service'],
  [{ cgroup: '**' }, 'any local user, below the own user@.service'],
  [{ process: { exe: JAVA } }, 'any local user'],
  [{ process: { exe: JAVA, args: ['-Dcatalina.base=/opt/tc1'] } }, 'any local user'],
  [{ process: { exe: JAVA, user: 'tomcat' } }, null],
  [{ listen: ['8080/tcp'] }, 'any local user'],
];
for (const [clause, reason] of spoofable) {
  test(`${JSON.stringify(clause)} is claimed by ${reason ?? 'nobody else'}`, () => {
    const { clauses, late } = program({ 'n/a': clause });
    assert.is([...clauses, ...late][0]!.spoofable, reason);
  });
}

test('an executable that others can write is spoofable even with a user', () => {
  const facts = { ...FACTS, untrusted: new Set([JAVA]) };
  const { clauses } = program({ 'n/a': { process: { exe: JAVA, user: 'tomcat' } } }, facts);
  assert.is(clauses[0]!.spoofable, `whoever can write ${JAVA}`);
});

const placed: [MatchClause, kernel: string, late: boolean][] = [
  [{ systemdUnit: 'nginx.service' }, 'cgroup', false],
  [{ systemdUnit: 'orders@*.service' }, 'cgroup', false],
  [{ cgroup: 'user.slice/**/libpod-x.scope' }, 'cgroup', false],
  [{ cgroup: 'user.slice/**/libpod-*.scope' }, 'none', true],
  [{ cgroup: 'a/b?' }, 'none', true],
  [{ process: { user: 'tomcat' } }, 'exec', false],
  [{ process: { exe: JAVA }, systemdUnit: 'x.service' }, 'exec', false],
  [{ process: { exe: JAVA }, cgroup: 'a/*/c*' }, 'none', true],
  [{ process: { exe: '/usr/lib/jvm/*/bin/java' } }, 'exec', true],
  [{ process: { exe: '/opt/*/nothing-there' } }, 'none', true],
  [{ listen: ['80/tcp'] }, 'listen', true],
  [{ listen: ['80/tcp'], systemdUnit: 'x.service' }, 'none', true],
  [{ process: { user: 'nobody-here' } }, 'none', false],
];
for (const [clause, kernel, late] of placed) {
  test(`${JSON.stringify(clause)} is decided in the kernel by ${kernel}${late ? ', and late' : ''}`, () => {
    const result = program({ 'n/a': clause });
    assert.is(result.clauses[0]?.kind ?? 'none', kernel);
    assert.is(result.late.length > 0, late);
    for (const entry of result.clauses) assert.is(entry.grade, 'firstPacket');
    for (const entry of result.late) assert.is(entry.grade, 'late');
  });
}

test('a registration says its grade and who could forge it before any host has seen it', () => {
  assert.equal(claimOf([{ systemdUnit: 'a.service' }, { process: { exe: JAVA } }]), {
    grade: 'firstPacket',
    spoofable: 'any local user',
  });
  assert.equal(claimOf([{ systemdUnit: 'a.service' }, { systemdUnit: 'b.service', listen: ['80/tcp'] }]), {
    grade: 'late',
    spoofable: null,
  });
  assert.equal(claimOf([{ process: { exe: '/usr/lib/jvm/*/bin/java', user: 'a' } }]), {
    grade: 'firstPacket',
    spoofable: null,
  });
});

test('a clause of a user who does not exist waits and says so, and keeps its place in the order', () => {
  const result = program({ 'n/a': { process: { user: 'ghost', exe: JAVA } }, 'n/b': { systemdUnit: 'b.service' } });
  assert.equal(result.waiting, [{ workload: 'n/a', clause: 0, reason: 'user "ghost" does not exist on this host' }]);
  assert.is(result.clauses[0]!.rank, 1);
});

test('a glob of exe names the files that exist, sorted, and a symbolic link its target', () => {
  const glob = program({ 'n/a': { process: { exe: '/usr/lib/jvm/*/bin/java' } } });
  assert.equal(glob.clauses[0]!.exes, ['/usr/lib/jvm/java-11/bin/java', JAVA]);
  const link = program(
    { 'n/a': { process: { exe: '/bin/sh' } } },
    { ...FACTS, paths: new Map([['/bin/sh', ['/usr/bin/dash']]]) },
  );
  assert.equal(link.clauses[0]!.exes, ['/usr/bin/dash']);
});

test('a unit becomes a prefix and a suffix of the folder that systemd makes for it', () => {
  const cgroupsOf = (clause: MatchClause) => program({ 'n/a': clause }).clauses[0]!.cgroups;
  assert.equal(cgroupsOf({ systemdUnit: 'orders@*.service' }), [
    { on: 'unit', prefix: 'orders@', suffix: '.service', star: 'segment' },
  ]);
  assert.equal(cgroupsOf({ systemdUnit: 'memory.slice' }), [
    { on: 'unit', prefix: '_memory.slice', suffix: '', star: 'none' },
  ]);
  assert.equal(cgroupsOf({ cgroup: '/a/**' }), [{ on: 'path', prefix: 'a/', suffix: '', star: 'deep' }]);
});

const clause: fc.Arbitrary<MatchClause> = fc
  .record(
    {
      systemdUnit: fc.constantFrom('a.service', 'b@*.service', 'c*'),
      cgroup: fc.constantFrom('a', 'a/b', 'a/*', '**'),
      process: fc
        .record(
          {
            exe: fc.constantFrom('/bin/a', '/bin/*', JAVA),
            user: fc.constantFrom('tomcat', 'oracle', '0', 'ghost'),
            args: fc.array(fc.constantFrom('x', '--y=*'), { minLength: 1, maxLength: 3 }),
          },
          { requiredKeys: [] },
        )
        .filter((process) => Object.keys(process).length > 0),
      listen: fc.constantFrom(['80/tcp'], ['1-9/udp', '10.0.0.1:5/tcp']),
    },
    { requiredKeys: [] },
  )
  .filter((fields) => Object.keys(fields).length > 0);

const world = fc
  .array(
    fc.record({
      match: fc.array(clause, { minLength: 1, maxLength: 3 }),
      createdRevision: fc.integer({ min: 1, max: 3 }),
    }),
    {
      minLength: 1,
      maxLength: 8,
    },
  )
  .map((entries) =>
    registered(Object.fromEntries(entries.map(({ match }, i) => [`n/w${i}`, match]))).map((workload, i) => ({
      ...workload,
      createdRevision: entries[i]!.createdRevision,
    })),
  );

test('the program does not depend on the order of registrations, and ranks are 1 to n', () => {
  fc.assert(
    fc.property(
      world.chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))),
      ([a, b]) => {
        const compiled = compileMatch(a, FACTS);
        assert.equal(compileMatch(b, FACTS), compiled);
        const total = a.reduce((sum, workload) => sum + workload.match.length, 0);
        const ranks = new Set([...compiled.clauses, ...compiled.late].map((entry) => entry.rank));
        for (const rank of ranks) assert.ok(rank >= 1 && rank <= total);
        const sorted = compiled.clauses.map((entry) => entry.rank);
        assert.equal(
          sorted,
          [...sorted].sort((x, y) => x - y),
        );
        assert.is(new Set(sorted).size, sorted.length);
      },
    ),
    { numRuns: 500 },
  );
});

test('a registration that goes and comes back leaves the order of the others', () => {
  fc.assert(
    fc.property(world, fc.nat(), (list, n) => {
      const gone = list[n % list.length]!;
      const rest = list.filter((workload) => workload !== gone);
      const relative = compileMatch(list, FACTS).clauses.filter((entry) => entry.workload !== `n/${gone.name}`);
      const alone = compileMatch(rest, FACTS).clauses;
      assert.equal(
        relative.map((c) => [c.workload, c.clause]),
        alone.map((c) => [c.workload, c.clause]),
      );
    }),
    { numRuns: 300 },
  );
});

test.run();
