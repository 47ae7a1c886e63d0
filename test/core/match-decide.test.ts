import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { DEFAULT_GATEWAYS } from '../../src/core/gateways.ts';
import { decideProcess, type InheritedLabel, type ProcessFacts } from '../../src/core/match-decide.ts';
import { clauseNow, compileMatch, type MatchProgram } from '../../src/core/match-program.ts';
import { decideTree, type TreeProcess } from '../../src/core/match-tree.ts';
import type { MatchClause } from '../../src/core/workload.ts';
import { FACTS, program, registered, UIDS } from './match-world.ts';

const JAVA = '/usr/lib/jvm/java-17/bin/java';

/** A process as written in a table: user by name. */
interface Row extends Partial<Omit<ProcessFacts, 'uid'>> {
  user?: string;
}

function facts({ user = 'root', ...rest }: Row): ProcessFacts {
  return { args: [], cgroup: '/', uid: UIDS.get(user)!, ...rest };
}

// The rows of evidence "legacy workloads" §2 that this version of the language can say; `null` = no workload.
const fleet: [row: string, match: Record<string, MatchClause | MatchClause[]>, looks: [Row, string | null][]][] = [
  [
    '1 two Tomcats of one java and one user',
    {
      'erp/tc1': { process: { exe: '/usr/lib/jvm/*/bin/java', user: 'tomcat', args: ['-Dcatalina.base=/opt/tc1'] } },
      'erp/tc2': { process: { exe: '/usr/lib/jvm/*/bin/java', user: 'tomcat', args: ['-Dcatalina.base=/opt/tc2'] } },
    },
    [
      [{ exe: JAVA, user: 'tomcat', args: ['java', '-Xmx1g', '-Dcatalina.base=/opt/tc1', 'start'] }, 'erp/tc1'],
      [{ exe: JAVA, user: 'tomcat', args: ['java', '-Dcatalina.base=/opt/tc2'] }, 'erp/tc2'],
      [{ exe: JAVA, user: 'tomcat', args: ['java', '-Dcatalina.base=/opt/tc10'] }, null],
      [{ exe: JAVA, user: 'app', args: ['java', '-Dcatalina.base=/opt/tc1'] }, null],
      [{ exe: '/opt/jdk/bin/java', user: 'tomcat', args: ['java', '-Dcatalina.base=/opt/tc1'] }, null],
    ],
  ],
  [
    '3 postgres by its unit, and by hand',
    {
      'db/pg': [
        { systemdUnit: 'postgresql@15-main.service' },
        { process: { exe: '/usr/lib/postgresql/15/bin/postgres', user: 'postgres' } },
      ],
    },
    [
      [
        {
          cgroup: '/system.slice/system-postgresql.slice/postgresql@15-main.service',
          exe: '/usr/lib/postgresql/15/bin/postgres',
          user: 'postgres',
        },
        'db/pg',
      ],
      [
        {
          cgroup: '/user.slice/user-0.slice/session-5.scope',
          exe: '/usr/lib/postgresql/15/bin/postgres',
          user: 'postgres',
        },
        'db/pg',
      ],
      [{ cgroup: '/system.slice/system-postgresql.slice/postgresql@14-main.service', user: 'postgres' }, null],
    ],
  ],
  [
    '4 mysqld_multi',
    { 'db/my-a': { process: { exe: '/usr/sbin/mysqld', user: 'mysql', args: ['--defaults-file=/etc/mysql/a.cnf'] } } },
    [
      [
        { exe: '/usr/sbin/mysqld', user: 'mysql', args: ['/usr/sbin/mysqld', '--defaults-file=/etc/mysql/a.cnf'] },
        'db/my-a',
      ],
      [
        { exe: '/usr/sbin/mysqld', user: 'mysql', args: ['/usr/sbin/mysqld', '--defaults-file=/etc/mysql/b.cnf'] },
        null,
      ],
    ],
  ],
  [
    '5 Apache: root owns the listener, workers change user without exec',
    { 'web/www': { systemdUnit: 'apache2.service' } },
    [
      [{ cgroup: '/system.slice/apache2.service', user: 'root' }, 'web/www'],
      [{ cgroup: '/system.slice/apache2.service', user: 'www-data' }, 'web/www'],
      [{ cgroup: '/system.slice/apache2.service/child', user: 'www-data' }, 'web/www'],
    ],
  ],
  [
    '8 SysV: unit or executable',
    {
      'app/legacy1': [{ systemdUnit: 'legacy1.service' }, { process: { exe: '/opt/legacy1/bin/daemon', user: 'app' } }],
    },
    [
      [{ cgroup: '/system.slice/legacy1.service', exe: '/opt/legacy1/bin/daemon', user: 'app' }, 'app/legacy1'],
      [
        { cgroup: '/user.slice/user-0.slice/session-3.scope', exe: '/opt/legacy1/bin/daemon', user: 'app' },
        'app/legacy1',
      ],
    ],
  ],
  [
    '9 two programs of one interpreter under supervisord',
    {
      'app/worker': { process: { user: 'app', args: ['/srv/a/worker.py'] } },
      'app/mailer': { process: { user: 'app', args: ['/srv/a/mailer.py'] } },
      'app/supervisor': { systemdUnit: 'supervisor.service' },
    },
    [
      [
        {
          cgroup: '/system.slice/supervisor.service',
          user: 'app',
          exe: '/usr/bin/python3.11',
          args: ['python3', '/srv/a/worker.py'],
        },
        'app/worker',
      ],
      [
        {
          cgroup: '/system.slice/supervisor.service',
          user: 'app',
          exe: '/usr/bin/python3.11',
          args: ['python3', '/srv/a/mailer.py'],
        },
        'app/mailer',
      ],
      [
        {
          cgroup: '/system.slice/supervisor.service',
          exe: '/usr/bin/python3.11',
          args: ['python3', '/usr/bin/supervisord'],
        },
        'app/supervisor',
      ],
    ],
  ],
  [
    '15 people are workloads by their slice',
    { 'people/alice': { cgroup: 'user.slice/user-1001.slice' }, 'infra/ssh': { systemdUnit: 'ssh.service' } },
    [
      [{ cgroup: '/user.slice/user-1001.slice/session-11.scope' }, 'people/alice'],
      [{ cgroup: '/user.slice/user-1001.slice/user@1001.service/app.slice/x.service' }, 'people/alice'],
      [{ cgroup: '/user.slice/user-1002.slice/session-12.scope' }, null],
      [{ cgroup: '/system.slice/ssh.service' }, 'infra/ssh'],
    ],
  ],
  [
    '17 units of socket activation',
    { 'app/inetd': { systemdUnit: 'per@*.service' } },
    [
      [{ cgroup: '/system.slice/system-per.slice/per@0-127.0.0.1:7002-127.0.0.1:4242.service' }, 'app/inetd'],
      [{ cgroup: '/system.slice/per.service' }, null],
      [{ cgroup: '/system.slice/per.socket' }, 'app/inetd'], // where systemd makes the listener
      [{ cgroup: '/system.slice/paper.socket' }, null],
    ],
  ],
  [
    '18 kafka and zookeeper: the class is a whole argument, not a part of the classpath',
    {
      'mq/kafka': { process: { exe: '/usr/lib/jvm/*/bin/java', user: 'kafka', args: ['kafka.Kafka'] } },
      'mq/zk': {
        process: {
          exe: '/usr/lib/jvm/*/bin/java',
          user: 'kafka',
          args: ['org.apache.zookeeper.server.quorum.QuorumPeerMain'],
        },
      },
    },
    [
      [
        {
          exe: JAVA,
          user: 'kafka',
          args: ['java', '-cp', '/opt/kafka.Kafka/libs', 'org.apache.zookeeper.server.quorum.QuorumPeerMain', 'zk.cfg'],
        },
        'mq/zk',
      ],
      [{ exe: JAVA, user: 'kafka', args: ['java', '-cp', '/opt/kafka/libs', 'kafka.Kafka', 'server.cfg'] }, 'mq/kafka'],
    ],
  ],
  [
    '19 and 20 containers by cgroup',
    {
      'web/docker': { cgroup: 'system.slice/docker-*.scope' },
      'web/podman': { cgroup: 'user.slice/**/libpod-*.scope' },
    },
    [
      [{ cgroup: '/system.slice/docker-4f5a.scope' }, 'web/docker'],
      [{ cgroup: '/system.slice/docker-4f5a.scope/init' }, 'web/docker'],
      [{ cgroup: '/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-77.scope/container' }, 'web/podman'],
      [{ cgroup: '/system.slice/docker.service' }, null],
    ],
  ],
  [
    '21 SAP: any executable of a folder',
    { 'sap/d00': { process: { exe: '/usr/sap/PRD/D00/exe/*', user: 'prdadm' } } },
    [
      [{ exe: '/usr/sap/PRD/D00/exe/disp+work', user: 'prdadm' }, 'sap/d00'],
      [{ exe: '/usr/sap/PRD/D00/exe/sub/x', user: 'prdadm' }, null],
      [{ exe: '/usr/sap/PRD/D01/exe/disp+work', user: 'prdadm' }, null],
    ],
  ],
  [
    '14 and 16 by port',
    {
      'app/ftp': { listen: ['21/tcp', '40000-40100/tcp'] },
      'app/one': { listen: ['10.0.0.5:1521/tcp', '[::1]:53/udp'] },
    },
    [
      [{ listening: [{ protocol: 6, port: 40100, address: '0.0.0.0' }] }, 'app/ftp'],
      [{ listening: [{ protocol: 17, port: 21, address: '0.0.0.0' }] }, null],
      [{ listening: [{ protocol: 6, port: 1521, address: '10.0.0.5' }] }, 'app/one'],
      [{ listening: [{ protocol: 6, port: 1521, address: '::ffff:10.0.0.5' }] }, 'app/one'],
      [{ listening: [{ protocol: 6, port: 1521, address: '0.0.0.0' }] }, null],
      [{ listening: [{ protocol: 17, port: 53, address: '0:0:0:0:0:0:0:1' }] }, 'app/one'],
    ],
  ],
];
for (const [row, match, looks] of fleet) {
  test(`row ${row}`, () => {
    const compiled = program(match);
    for (const [row, workload] of looks) {
      assert.is(decideProcess(compiled, facts(row)).clause?.workload ?? null, workload, JSON.stringify(row));
    }
  });
}

test("a unit that a user or a container's systemd names is nobody's", () => {
  const compiled = program({ 'erp/billing': { systemdUnit: 'billing.service' } });
  for (const cgroup of [
    '/user.slice/user-1000.slice/user@1000.service/app.slice/billing.service',
    '/system.slice/docker-4f5a.scope/system.slice/billing.service',
  ]) {
    assert.is(decideProcess(compiled, facts({ cgroup })).clause, undefined);
  }
});

test('unit and cgroup together hold on one chain', () => {
  const compiled = program({ 'n/a': { systemdUnit: 'x.service', cgroup: 'erp.slice' } });
  assert.is(decideProcess(compiled, facts({ cgroup: '/erp.slice/x.service/sub' })).gainedIn, 'erp.slice/x.service');
  assert.is(decideProcess(compiled, facts({ cgroup: '/system.slice/x.service' })).clause, undefined);
});

test('what it beat is told with the first field that differed', () => {
  const compiled = program({
    'erp/any-java': { process: { exe: '/usr/lib/jvm/*/bin/java', user: 'tomcat' } },
    'erp/billing': { process: { exe: JAVA, user: 'tomcat', args: ['-jar'] } },
    'erp/unit': { systemdUnit: 'tomcat.service' },
    'erp/anyone': { process: { exe: JAVA } },
  });
  const decision = decideProcess(
    compiled,
    facts({ exe: JAVA, user: 'tomcat', args: ['java', '-jar'], cgroup: '/system.slice/tomcat.service' }),
  );
  assert.is(decision.clause?.workload, 'erp/billing');
  assert.is(decision.origin, 'exec');
  assert.equal(decision.beats, [
    { workload: 'erp/any-java', by: 'args' },
    { workload: 'erp/unit', by: 'args' },
    { workload: 'erp/anyone', by: 'spoofable' },
  ]);
});

test('two registrations that only age tells apart are a tie of the field "created"', () => {
  const compiled = program({ 'n/first': { systemdUnit: 'a.service' }, 'n/thief': { systemdUnit: 'a.service' } });
  const decision = decideProcess(compiled, facts({ cgroup: '/system.slice/a.service' }));
  assert.is(decision.clause?.workload, 'n/first');
  assert.equal(decision.beats, [{ workload: 'n/thief', by: 'created' }]);
});

const labels: Record<string, MatchClause> = {
  'n/parent': { process: { exe: '/opt/parent', user: 'app' } },
  'n/own': { process: { exe: '/opt/own', user: 'app' } },
  'n/weak': { process: { exe: '/opt/weak' } },
  'n/weak-parent': { process: { exe: '/opt/weak-parent' } },
  'n/user': { process: { user: 'redis' } },
  'n/unit': { systemdUnit: 'x.service' },
  'n/below': { cgroup: 'system.slice/x.service/below' },
};
const inheritance: [claim: string, from: string, row: Row, gainedIn: string, workload: string, origin: string][] = [
  ['a child keeps the label', 'n/parent', { exe: '/bin/sh' }, '/system.slice/x.service', 'n/parent', 'inherited'],
  [
    'a cgroup at the gain does not take it',
    'n/parent',
    { cgroup: '/system.slice/x.service' },
    '/system.slice/x.service',
    'n/parent',
    'inherited',
  ],
  [
    'a cgroup below the gain takes it',
    'n/parent',
    { cgroup: '/system.slice/x.service' },
    '/system.slice',
    'n/unit',
    'cgroup',
  ],
  [
    'a cgroup elsewhere does not take it',
    'n/parent',
    { cgroup: '/system.slice/x.service' },
    '/other',
    'n/parent',
    'inherited',
  ],
  ['an own exec match takes it', 'n/parent', { exe: '/opt/own', user: 'app' }, '/', 'n/own', 'exec'],
  [
    'an own exec match takes it even where a cgroup outranks the match',
    'n/parent',
    { exe: '/bin/x', user: 'redis', cgroup: '/system.slice/x.service' },
    '/system.slice/x.service',
    'n/user',
    'exec',
  ],
  ['a forgeable own match does not', 'n/parent', { exe: '/opt/weak' }, '/', 'n/parent', 'inherited'],
  ['a forgeable own match takes a forgeable one', 'n/weak-parent', { exe: '/opt/weak' }, '/', 'n/weak', 'exec'],
  [
    'any cgroup takes a forgeable one',
    'n/weak-parent',
    { cgroup: '/system.slice/x.service' },
    '/system.slice/x.service/below',
    'n/unit',
    'cgroup',
  ],
];
for (const [claim, from, row, gainedIn, workload, origin] of inheritance) {
  test(`inheritance: ${claim}`, () => {
    const compiled = program(labels);
    const decision = decideProcess(compiled, {
      ...facts(row),
      inherited: { rank: rankOf(compiled, from), gainedIn, origin: 'exec' },
    });
    assert.is(decision.clause?.workload, workload);
    assert.is(decision.origin, origin);
  });
}

test('a label that a process took out of its cgroup is inherited, inside of it is met', () => {
  const compiled = program(labels);
  const inherited: InheritedLabel = {
    rank: rankOf(compiled, 'n/unit'),
    gainedIn: '/system.slice/x.service',
    origin: 'cgroup',
  };
  assert.is(decideProcess(compiled, { ...facts({ cgroup: '/away' }), inherited }).origin, 'inherited');
  const below = decideProcess(compiled, { ...facts({ cgroup: '/system.slice/x.service/below' }), inherited });
  assert.is(below.clause?.workload, 'n/below');
  assert.is(decideProcess(compiled, { ...facts({ cgroup: '/system.slice/x.service' }), inherited }).origin, 'cgroup');
});

test('the label of a registration that is gone is no label', () => {
  const decision = decideProcess(program(labels), {
    ...facts({}),
    inherited: { rank: 99, gainedIn: '/', origin: 'exec' },
  });
  assert.is(decision.clause, undefined);
});

test('a login shell is not sshd, and a job that a labelled daemon starts is the daemon', () => {
  const compiled = program({
    'infra/ssh': { process: { exe: '/usr/sbin/sshd', user: 'root' } },
    'app/own': { process: { exe: '/opt/own', user: 'root' } },
  });
  const process = (pid: number, ppid: number, exe: string): TreeProcess => ({
    pid,
    ppid,
    exe,
    args: [],
    uid: 0,
    cgroup: '/',
  });
  const decided = decideTree(
    compiled,
    [
      process(40, 30, '/usr/bin/psql'),
      process(30, 20, '/usr/bin/bash'),
      process(20, 1, '/usr/sbin/sshd'),
      process(50, 1, '/opt/own'),
      process(60, 50, '/usr/bin/sudo'),
      process(70, 60, '/usr/bin/psql'),
      process(1, 0, '/usr/lib/systemd/systemd'),
    ],
    DEFAULT_GATEWAYS,
  );
  const names = [...decided].map(([pid, decision]) => [pid, decision.clause?.workload, decision.origin]);
  assert.equal(Object.fromEntries(names.map(([pid, name]) => [pid, name])), {
    1: undefined,
    20: 'infra/ssh',
    30: undefined,
    40: undefined,
    50: 'app/own',
    60: 'app/own',
    70: 'app/own',
  });
});

const CRON = { uid: 0, args: [], cgroup: '/system.slice/cron.service' };

test('a cron job is not cron: it has its own name or none, and so has what it starts', () => {
  const compiled = program({
    'infra/cron': { systemdUnit: 'cron.service' },
    'job/nightly': { process: { exe: '/opt/nightly', user: 'root' } },
  });
  const decided = decideTree(
    compiled,
    [
      { ...CRON, pid: 1, ppid: 0, exe: '/usr/lib/systemd/systemd', cgroup: '/init.scope' },
      { ...CRON, pid: 2, ppid: 1, exe: '/usr/sbin/cron' },
      { ...CRON, pid: 3, ppid: 2, exe: '/usr/sbin/cron' },
      { ...CRON, pid: 4, ppid: 3, exe: '/usr/bin/dash' },
      { ...CRON, pid: 5, ppid: 4, exe: '/usr/bin/curl' },
      { ...CRON, pid: 6, ppid: 4, exe: '/opt/nightly' },
      { ...CRON, pid: 7, ppid: 6, exe: '/usr/bin/curl' },
      { ...CRON, pid: 8, ppid: 1, exe: '/usr/bin/curl', refuses: 'system.slice/cron.service' },
    ],
    DEFAULT_GATEWAYS,
  );
  assert.equal(
    [2, 3, 4, 5, 6, 7, 8].map((pid) => decided.get(pid)!.clause?.workload),
    ['infra/cron', 'infra/cron', undefined, undefined, 'job/nightly', 'job/nightly', undefined],
  );
  assert.is(decided.get(5)!.refuses, 'system.slice/cron.service');
});

test('supervisord is known by its script, and a workload that runs such a program stays what it is', () => {
  const compiled = program({ 'n/unit': { systemdUnit: 'x.service' } });
  const unit = { uid: 0, args: [], cgroup: '/system.slice/x.service' };
  const supervisord = { exe: '/usr/bin/python3.11', script: '/usr/bin/supervisord' };
  const names = (main: object): unknown[] => {
    const list = [
      { ...unit, pid: 2, ppid: 1, ...main },
      { ...unit, pid: 3, ppid: 2, ...supervisord },
      { ...unit, pid: 4, ppid: 3, exe: '/opt/job' },
    ];
    return [2, 3, 4].map((pid) => decideTree(compiled, list, DEFAULT_GATEWAYS).get(pid)!.clause?.workload);
  };
  assert.equal(names(supervisord), ['n/unit', 'n/unit', undefined]);
  assert.equal(names({ exe: '/opt/app' }), ['n/unit', 'n/unit', 'n/unit']);
  assert.equal(
    names({ ...supervisord, isMain: false }),
    ['n/unit', 'n/unit', 'n/unit'],
    'the kernel saw it come later',
  );
});

test('a job is not the unit of a supervisord that has a name of its own there, by executable or by port', () => {
  const unit = { uid: 0, args: [], cgroup: '/system.slice/x.service' };
  const exe = '/usr/bin/supervisord';
  for (const match of [{ process: { exe, user: 'root' } }, { systemdUnit: 'x.service', listen: ['9001/tcp'] }]) {
    const compiled = program({ 'n/unit': { systemdUnit: 'x.service' }, 'n/own': match });
    const listening = [{ protocol: 6 as const, port: 9001, address: '0.0.0.0' }];
    const list = [
      { ...unit, pid: 2, ppid: 1, exe, listening },
      { ...unit, pid: 3, ppid: 2, exe: '/opt/job' },
      { ...unit, pid: 4, ppid: 3, exe: '/opt/more' },
    ];
    const decided = decideTree(compiled, list, DEFAULT_GATEWAYS);
    assert.equal(
      [2, 3, 4].map((pid) => decided.get(pid)!.clause?.workload),
      ['n/own', undefined, undefined],
    );
    assert.equal(
      [2, 3].map((pid) => decided.get(pid)!.refuses),
      [undefined, 'system.slice/x.service'],
    );
  }
});

test('a label from an earlier program of a process is handed on, also by a gateway', () => {
  const compiled = program({ 'app/own': { process: { exe: '/opt/own', user: 'root' } } });
  const rank = compiled.clauses[0]!.rank;
  const kept = { rank, gainedIn: '', origin: 'exec' as const, gainedBy: 2 };
  const decided = decideTree(
    compiled,
    [
      { pid: 2, ppid: 1, exe: '/usr/bin/sudo', args: [], uid: 0, cgroup: '/', kept },
      { pid: 3, ppid: 2, exe: '/usr/bin/psql', args: [], uid: 0, cgroup: '/' },
    ],
    DEFAULT_GATEWAYS,
  );
  assert.equal([decided.get(3)!.clause?.workload, decided.get(3)!.gainedBy], ['app/own', 2]);
});

test('what a process met at its exec it meets still, after it rewrote its arguments and gave up root', () => {
  const clause: MatchClause = { process: { exe: '/usr/sbin/haproxy', user: 'root', args: ['-f'] } };
  const before = program({ 'n/lb': clause });
  const known = before.clauses[0]!;
  const now = program({ 'n/other': { systemdUnit: 'x.service' }, 'n/lb': [{ systemdUnit: 'y.service' }, clause] });
  const rank = clauseNow(now, known)!.rank;
  const looks = facts({ exe: '/usr/sbin/haproxy', user: 'app', args: ['haproxy: worker'] });
  assert.is(decideProcess(now, looks).clause, undefined);
  assert.is(decideProcess(now, { ...looks, metAtExec: rank }).clause?.workload, 'n/lb');
  const changed = program({ 'n/lb': { process: { exe: '/usr/sbin/haproxy', user: 'root' } } });
  assert.is(clauseNow(changed, known), undefined);
});

test('a loop of parents ends', () => {
  const process = (pid: number, ppid: number): TreeProcess => ({
    pid,
    ppid,
    exe: '/opt/own',
    args: [],
    uid: UIDS.get('app')!,
    cgroup: '/',
  });
  assert.is(decideTree(program(labels), [process(1, 2), process(2, 1), process(3, 3)], new Map()).size, 3);
});

const anyClause: fc.Arbitrary<MatchClause> = fc
  .record(
    {
      systemdUnit: fc.constantFrom('x.service', '*.service', 'x*'),
      cgroup: fc.constantFrom('a', 'a/*', '**', 'a/x.service/b?'),
      process: fc.record(
        {
          exe: fc.constantFrom('/bin/a', '/bin/*', '/bin/b'),
          user: fc.constantFrom('app', '0'),
          args: fc.constantFrom(['p'], ['p*', 'q']),
        },
        { requiredKeys: ['exe'] },
      ),
      listen: fc.constantFrom(['80/tcp']),
    },
    { requiredKeys: [] },
  )
  .filter((fields) => Object.keys(fields).length > 0);
const anyProcess: fc.Arbitrary<ProcessFacts> = fc.record({
  exe: fc.constantFrom('/bin/a', '/bin/b', '/bin/c'),
  args: fc.subarray(['p', 'pp', 'q']),
  uid: fc.constantFrom(UIDS.get('app')!, 0),
  cgroup: fc.constantFrom('/', '/a', '/a/x.service', '/a/x.service/b1', '/y.service/x.service'),
  listening: fc.constantFrom([], [{ protocol: 6 as const, port: 80, address: '::' }]),
});
const facts2 = { ...FACTS, paths: new Map([['/bin/*', ['/bin/a', '/bin/b']]]) };

test('the winner is the largest rank that matches, whatever the order of registration, and beats every other workload met', () => {
  fc.assert(
    fc.property(fc.array(anyClause, { minLength: 1, maxLength: 6 }), anyProcess, (matches, process) => {
      const workloads = registered(Object.fromEntries(matches.map((match, i) => [`n/w${i}`, match])));
      const decision = decideProcess(compileMatch(workloads, facts2), process);
      const again = decideProcess(compileMatch([...workloads].reverse(), facts2), process);
      assert.equal(again, decision);
      for (const workload of workloads) {
        const alone = decideProcess(compileMatch([workload], facts2), process).clause !== undefined;
        const name = `n/${workload.name}`;
        const told = decision.clause?.workload === name || decision.beats.some((beaten) => beaten.workload === name);
        assert.is(told, alone, name);
      }
    }),
    { numRuns: 1000 },
  );
});

test('Oracle instances of one file and user are told apart by env, a worker by its script', () => {
  const oracle = '/u01/bin/oracle';
  const compiled = program({
    'db/prod': { process: { exe: oracle, user: 'oracle', env: ['ORACLE_SID=PROD'] } },
    'db/any': { process: { exe: oracle, user: 'oracle' } },
    'erp/worker': { process: { script: '/srv/a/worker.py', user: 'app' } },
    'erp/regex': { process: { user: 'kafka', argsRegex: '^\\S*java .*kafka\\.Kafka( |$)' } },
  });
  const who = (row: Row): string | undefined => decideProcess(compiled, facts(row)).clause?.workload;
  assert.is(who({ exe: oracle, user: 'oracle', env: ['A=1', 'ORACLE_SID=PROD'] }), 'db/prod');
  assert.is(who({ exe: oracle, user: 'oracle', env: ['ORACLE_SID=PROD2'] }), 'db/any');
  assert.is(who({ exe: oracle, user: 'oracle' }), 'db/any');
  assert.is(who({ exe: '/usr/bin/python3.11', user: 'app', script: '/srv/a/worker.py' }), 'erp/worker');
  assert.is(who({ exe: '/usr/bin/python3.12', user: 'app', script: '/srv/b/worker.py' }), undefined);
  assert.is(who({ exe: '/srv/a/worker.py', user: 'app' }), undefined);
  assert.is(who({ exe: JAVA, user: 'kafka', args: ['java', '-cp', 'x', 'kafka.Kafka', 'p'] }), 'erp/regex');
  assert.is(who({ exe: JAVA, user: 'kafka', args: ['java', '-cp', '/opt/kafka.Kafka.jar'] }), undefined);
});

test('a worker that gave up root after its fork is who its master is; a program of its own under another user is not', () => {
  const compiled = program({
    'web/unit': { systemdUnit: 'nginx.service' },
    'web/never': { process: { exe: '/usr/sbin/nginx', user: 'www-data' } },
    'app/worker': { process: { exe: '/usr/bin/python3.11', user: 'app' } },
  });
  const process = (pid: number, ppid: number, exe: string, user: string, ...args: string[]): TreeProcess => ({
    ...{ pid, ppid, exe, args, uid: UIDS.get(user)!, cgroup: '/system.slice/nginx.service' },
  });
  const decided = decideTree(
    compiled,
    [
      process(12, 11, '/usr/sbin/nginx', 'www-data', 'nginx: worker process'),
      process(11, 10, '/usr/sbin/nginx', 'www-data', 'nginx: worker process'),
      process(10, 1, '/usr/sbin/nginx', 'root', 'nginx: master process'),
      process(20, 1, '/usr/bin/python3.11', 'root', 'python3', 'supervise.py'),
      process(21, 20, '/usr/bin/python3.11', 'app', 'python3', 'worker.py'),
      process(22, 20, '/usr/bin/python3.11', 'app', 'python3', 'supervise.py'),
      process(30, 1, '/usr/sbin/nginx', 'www-data', 'nginx'),
    ],
    DEFAULT_GATEWAYS,
  );
  assert.equal(
    [10, 11, 12, 20, 21, 22, 30].map((pid) => decided.get(pid)!.clause?.workload),
    ['web/unit', 'web/unit', 'web/unit', 'web/unit', 'app/worker', 'web/unit', 'web/never'],
  );
});

test('with inherit none no child has the label, but by an own exec', () => {
  const workloads = registered({
    'n/a': { process: { exe: '/bin/a', user: 'app' } },
    'n/unit': { systemdUnit: 'x.service' },
  });
  const compiled = compileMatch(
    workloads.map((workload) => (workload.name === 'a' ? { ...workload, inherit: 'none' as const } : workload)),
    FACTS,
  );
  const app = UIDS.get('app')!;
  const a = { exe: '/bin/a', args: [], uid: app, cgroup: '/' };
  const decided = decideTree(
    compiled,
    [
      { ...a, pid: 1, ppid: 0 },
      { ...a, pid: 2, ppid: 1 },
      { ...a, pid: 3, ppid: 1, exe: '/bin/b' },
      { ...a, pid: 4, ppid: 3 },
      { ...a, pid: 5, ppid: 1, metAtExec: rankOf(compiled, 'n/a') },
      { ...a, pid: 6, ppid: 1, uid: 0 },
      { ...a, pid: 7, ppid: 1, cgroup: '/system.slice/x.service' },
      { ...a, pid: 8, ppid: 2 },
      { ...a, pid: 9, ppid: 7 },
    ],
    new Map(),
  );
  assert.equal(
    [1, 2, 3, 4, 5, 6, 7, 8, 9].map((pid) => decided.get(pid)!.clause?.workload),
    ['n/a', undefined, undefined, 'n/a', 'n/a', undefined, 'n/unit', undefined, undefined],
  );
});

function rankOf(compiled: MatchProgram, workload: string): number {
  return [...compiled.clauses, ...compiled.late].find((clause) => clause.workload === workload)!.rank;
}

test.run();
