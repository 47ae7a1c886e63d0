/** Rows 1 to 12: services whose executable says little, and whose unit not always more. */
import type { Row } from './row.ts';

const TOMCAT = 60001;
const ORACLE = 60002;
const APP = 60003;
const JAVA = '/usr/lib/jvm/java-17/bin/java';

const tomcat = (name: string) => ({
  process: { exe: '/usr/lib/jvm/*/bin/java', user: String(TOMCAT), args: [`-Dcatalina.base=/opt/${name}`] },
});
const oracle = (sid: string) => ({
  process: { exe: '/u01/bin/oracle', user: String(ORACLE), env: [`ORACLE_SID=${sid}`] },
});
const unit = (name: string) => ({ systemdUnit: name });

export const SERVICES: readonly Row[] = [
  {
    number: 1,
    title: 'two Tomcats of one java and one user',
    workloads: { tc1: tomcat('tc1'), tc2: tomcat('tc2') },
    processes: (['tc1', 'tc2', 'tc10'] as const).map((name) => ({
      what: name,
      exe: JAVA,
      args: ['-Xmx1g', `-Dcatalina.base=/opt/${name}`, 'org.apache.catalina.startup.Bootstrap', 'start'],
      uid: TOMCAT,
      cgroup: 'system.slice/tomcat.service',
      does: 'listen connect',
      ...(name === 'tc10' ? { connects: null, listens: null } : { connects: name, listens: name }),
    })),
    also: ['test/systemd/fleet.test.ts'],
  },
  {
    number: 2,
    title: 'Oracle instances of one executable; the listener hands its connection to one of them',
    workloads: {
      prod: oracle('PROD'),
      test: oracle('TEST'),
      listener: { process: { exe: '/u01/bin/tnslsnr', user: String(ORACLE) } },
    },
    processes: [
      {
        what: 'PROD',
        exe: '/u01/bin/oracle',
        args: ['oraclePROD'],
        env: ['ORACLE_SID=PROD'],
        uid: ORACLE,
        cgroup: 'user.slice/user-0.slice/session-c1.scope',
        does: 'connect',
        connects: 'prod',
      },
      {
        what: 'TEST, by hand',
        exe: '/u01/bin/oracle',
        env: ['ORACLE_SID=TEST'],
        uid: ORACLE,
        cgroup: 'user.slice/user-1001.slice/session-5.scope',
        does: 'connect',
        connects: 'test',
      },
      {
        what: 'tnslsnr accepts for every instance (one ingress identity: the SID is payload), then executes the one asked for',
        exe: '/u01/bin/tnslsnr',
        args: ['LISTENER', '-inherit'],
        uid: ORACLE,
        cgroup: 'user.slice/user-0.slice/session-c1.scope',
        does: 'listen ready accept fork env:ORACLE_SID=PROD exec:/u01/bin/oracle,oraclePROD,(LOCAL=NO) connect',
        listens: 'listener',
        connects: 'prod',
      },
    ],
  },
  {
    number: 3,
    title: 'PostgreSQL by its unit, and restarted by hand',
    workloads: {
      pg: [
        unit('postgresql@15-main.service'),
        { process: { exe: '/usr/lib/postgresql/15/bin/postgres', user: String(APP) } },
      ],
    },
    processes: [
      {
        what: 'by systemd',
        exe: '/usr/lib/postgresql/15/bin/postgres',
        uid: APP,
        cgroup: 'system.slice/system-postgresql.slice/postgresql@15-main.service',
        does: 'listen fork connect',
        connects: 'pg',
        listens: 'pg',
        state: 'ok',
      },
      {
        what: 'by pg_ctl over ssh',
        exe: '/usr/lib/postgresql/15/bin/postgres',
        uid: APP,
        cgroup: 'user.slice/user-0.slice/session-3.scope',
        does: 'listen fork connect',
        connects: 'pg',
        listens: 'pg',
        state: 'drifted',
      },
    ],
    also: ['test/systemd/fleet-databases.test.ts'],
  },
  {
    number: 4,
    title: 'mysqld_multi',
    workloads: {
      'my-a': { process: { exe: '/usr/sbin/mysqld', user: String(APP), args: ['--defaults-file=/etc/mysql/a.cnf'] } },
    },
    processes: (['a', 'b'] as const).map((name) => ({
      what: name,
      exe: '/usr/sbin/mysqld',
      args: [`--defaults-file=/etc/mysql/${name}.cnf`],
      uid: APP,
      cgroup: 'system.slice/mysqld_multi.service',
      does: 'listen connect',
      ...(name === 'a' ? { connects: 'my-a', listens: 'my-a' } : { connects: null, listens: null }),
    })),
    also: ['test/systemd/fleet-databases.test.ts'],
  },
  {
    number: 5,
    title: 'Apache: root listens, workers give up root without an exec',
    workloads: {
      www: unit('apache2.service'),
      never: { process: { exe: '/usr/sbin/apache2', user: String(APP) } },
    },
    processes: [
      {
        what: 'master and worker',
        exe: '/usr/sbin/apache2',
        args: ['-k', 'start'],
        cgroup: 'system.slice/apache2.service',
        does: `listen fork user:${APP} connect`,
        connects: 'www',
        listens: 'www',
      },
    ],
    also: ['test/systemd/fleet.test.ts', 'test/systemd/facts.test.ts'],
  },
  {
    number: 6,
    title: 'HAProxy takes over its listeners on reload',
    workloads: { lb: unit('haproxy.service') },
    processes: ['-sf 100', '-sf 200'].map((words) => ({
      what: words,
      exe: '/usr/sbin/haproxy',
      args: ['-W', '-f', '/etc/haproxy/haproxy.cfg', ...words.split(' ')],
      cgroup: 'system.slice/haproxy.service',
      does: `listen fork user:${APP} connect`,
      connects: 'lb',
      listens: 'lb',
    })),
    also: ['test/systemd/fleet.test.ts'],
  },
  {
    number: 7,
    title: 'keepalived: a raw socket of protocol 112',
    workloads: { vrrp: unit('keepalived.service') },
    processes: [
      {
        what: 'the process has its name; VRRP itself is policy of the host',
        exe: '/usr/sbin/keepalived',
        cgroup: 'system.slice/keepalived.service',
        does: 'fork raw:112',
        endpoint: 'vrrp',
      },
    ],
    also: ['test/systemd/fleet.test.ts', 'test/kernel/bypass-egress.test.ts'],
  },
  {
    number: 8,
    title: 'a SysV script that somebody restarts by hand',
    workloads: {
      legacy1: [unit('legacy1.service'), { process: { exe: '/opt/legacy1/bin/daemon', user: String(APP) } }],
    },
    processes: (
      [
        ['by systemd', 'system.slice/legacy1.service', 'ok'],
        ['over ssh', 'user.slice/user-0.slice/session-3.scope', 'drifted'],
      ] as const
    ).map(([what, cgroup, state]) => ({
      ...{ what, cgroup, state, exe: '/opt/legacy1/bin/daemon', uid: APP },
      ...{ does: 'listen connect', connects: 'legacy1', listens: 'legacy1' },
    })),
    also: ['test/systemd/facts.test.ts'],
  },
  {
    number: 9,
    title: 'two programs of one interpreter under supervisord',
    workloads: {
      worker: { process: { script: '/srv/a/worker.pl', user: String(APP) } },
      mailer: { process: { script: '/srv/a/mailer.pl', user: String(APP) } },
    },
    processes: ['worker', 'mailer', 'other'].map((name) => ({
      what: name,
      exe: 'perl',
      args: [`/srv/a/${name}.pl`, '--queue=9'],
      uid: APP,
      cgroup: 'system.slice/supervisor.service',
      does: 'connect',
      connects: name === 'other' ? null : name,
    })),
    also: ['test/systemd/facts.test.ts'],
  },
  {
    number: 10,
    title: 'pm2 cluster: the daemon owns the listener, a worker gets what it accepts',
    workloads: { shop: [{ listen: ['{port}/tcp'] }, { process: { exe: '/usr/bin/node', user: String(APP) } }] },
    processes: [
      {
        what: 'master, and worker of another user',
        exe: '/usr/lib/pm2/daemon',
        cgroup: 'system.slice/pm2.service',
        does: `listen fork user:${APP} exec:/usr/bin/node,server.js connect`,
        connects: 'shop',
        listens: 'shop',
      },
    ],
    also: ['test/systemd/fleet-started.test.ts'],
  },
  {
    number: 11,
    title: 'monit starts postfix: its children are not monit',
    workloads: {
      monit: unit('monit.service'),
      mta: { process: { exe: '/usr/lib/postfix/sbin/master', user: '0' } },
    },
    processes: [
      {
        what: 'postfix has its own name',
        exe: '/usr/local/bin/monit',
        cgroup: 'system.slice/monit.service',
        does: 'fork exec:/usr/lib/postfix/sbin/master,-w listen connect',
        connects: 'mta',
        listens: 'mta',
      },
      {
        what: 'another child is nobody',
        exe: '/usr/local/bin/monit',
        cgroup: 'system.slice/monit.service',
        does: 'fork exec:/opt/legacy1/bin/other connect',
        connects: null,
      },
      {
        what: 'monit itself is its unit',
        exe: '/usr/local/bin/monit',
        cgroup: 'system.slice/monit.service',
        does: 'listen connect',
        connects: 'monit',
        listens: 'monit',
      },
    ],
    also: ['test/systemd/fleet.test.ts', 'test/systemd/fleet-started.test.ts'],
  },
  {
    number: 12,
    title: 'a cron job is a script, and what it starts',
    workloads: { nightly: { process: { script: '/usr/local/bin/nightly.pl', user: String(ORACLE) } } },
    processes: [
      {
        what: 'the script',
        exe: 'perl',
        args: ['/usr/local/bin/nightly.pl'],
        uid: ORACLE,
        cgroup: 'system.slice/cron.service',
        does: 'connect',
        connects: 'nightly',
      },
      {
        what: 'the same script of another user',
        exe: 'perl',
        args: ['/usr/local/bin/nightly.pl'],
        uid: APP,
        cgroup: 'system.slice/cron.service',
        does: 'connect',
        connects: null,
      },
    ],
    also: ['test/systemd/facts.test.ts'],
  },
];
