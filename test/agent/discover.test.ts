import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';
import { type DiscoveredService, discover } from '../../src/agent/discover.ts';
import { registrationCurl } from '../../src/agent/discover-curl.ts';
import type { OwnedSocket } from '../../src/agent/listening.ts';
import { scanListening } from '../../src/agent/listening.ts';
import { loadMatchFacts } from '../../src/agent/match-facts.ts';
import { type HostProcess, scanProcesses, toFacts } from '../../src/agent/process-scan.ts';
import { createSocketUnitFiles } from '../../src/agent/socket-units.ts';
import { unitOf } from '../../src/agent/unit-of.ts';
import { createUserNames } from '../../src/agent/user-names.ts';
import { decideProcess } from '../../src/core/match-decide.ts';
import { compileMatch } from '../../src/core/match-program.ts';
import { validateWorkload } from '../../src/core/workload.ts';
import { skip } from '../skip.ts';
import { cgroupRoot, isRoot, LISTENER, RealHost } from './real.ts';

const test = suite('discover');

type Look = Partial<Omit<HostProcess, 'args'>> & { args?: string; ports?: number[]; udp?: number[]; shares?: number };

/** Pids are 100, 101 …; `shares` = also holds the sockets of that one. */
function look(
  table: Look[],
  more: { taken?: string[]; claimed?: number[]; containers?: Record<string, string> } = {},
): DiscoveredService[] {
  const processes = table.map(
    ({ args, ports: _, udp: __, shares: ___, ...rest }, i): HostProcess => ({
      pid: 100 + i,
      ppid: 1,
      startTicks: 1000 + i,
      startedAt: '2026-01-01T00:00:00.000Z',
      isExeGone: false,
      isHostPath: true,
      args: (args ?? 'x').split(' '),
      uid: 0,
      user: 'root',
      cgroup: '/',
      netns: 1,
      ...rest,
    }),
  );
  const sockets = table.flatMap(({ ports = [], udp = [] }, i) => {
    const owner = processes[i]!.pid;
    const pids = [owner, ...table.flatMap(({ shares }, j) => (shares === owner ? [processes[j]!.pid] : []))];
    return [...ports.map((port) => [6, port] as const), ...udp.map((port) => [17, port] as const)].map(
      ([protocol, port]): OwnedSocket => ({
        protocol,
        port,
        address: '0.0.0.0',
        inode: owner * 100000 + port,
        netns: 1,
        pids,
      }),
    );
  });
  return discover({
    host: 'web-1',
    processes,
    sockets,
    isClaimed: (pid) => (more.claimed ?? []).includes(pid),
    taken: new Set(more.taken),
    baseUrl: 'http://127.0.0.1:7460',
    containerOf: (cgroup) => {
      const name = more.containers?.[cgroup];
      return name === undefined ? undefined : { name };
    },
  });
}

/** name, confidence, match */
function brief(found: readonly DiscoveredService[]): [string, number, unknown][] {
  return found.map(({ suggested, confidence }) => [suggested.name, confidence, (suggested.match as unknown[])[0]]);
}

const system = (unit: string) => ({ cgroup: `/system.slice/${unit}` });
const session = { cgroup: '/user.slice/user-0.slice/session-3.scope' };

test('a unit that runs one program is sure: master and workers are one service', () => {
  const found = look([
    { ...system('nginx.service'), exe: '/usr/sbin/nginx', ports: [80, 443] },
    { ...system('nginx.service'), exe: '/usr/sbin/nginx', uid: 33, user: 'www-data', shares: 100 },
    { ...system('nginx.service'), exe: '/usr/sbin/nginx', ports: [8081] },
  ]);
  assert.equal(brief(found), [['nginx', 1, { systemdUnit: 'nginx.service' }]]);
  assert.equal(found[0]?.listening.map(({ port }) => port).sort(), [443, 80, 8081]);
  assert.equal(
    [found[0]?.process.pid, found[0]?.unit, found[0]?.grade, found[0]?.note],
    [100, 'nginx.service', 'firstPacket', undefined],
  );
});

test('programs of one unit are told apart by script, the supervisor too', () => {
  const python = { ...system('supervisor.service'), exe: '/usr/bin/python3.11' };
  const found = look([
    { ...python, args: 'python3 /usr/bin/supervisord -n', ports: [9001] },
    { ...python, args: 'python3 /srv/a/worker.py', uid: 1000, user: 'app', ports: [8001] },
    { ...python, args: 'python3 -u /srv/a/mailer.py', uid: 1000, user: 'app', ports: [8002] },
  ]);
  assert.equal(brief(found), [
    [
      'supervisord',
      0.9,
      {
        systemdUnit: 'supervisor.service',
        process: { exe: '/usr/bin/python3.11', user: 'root', args: ['/usr/bin/supervisord'] },
      },
    ],
    [
      'worker',
      0.9,
      {
        systemdUnit: 'supervisor.service',
        process: { exe: '/usr/bin/python3.11', user: 'app', args: ['/srv/a/worker.py'] },
      },
    ],
    [
      'mailer',
      0.9,
      {
        systemdUnit: 'supervisor.service',
        process: { exe: '/usr/bin/python3.11', user: 'app', args: ['/srv/a/mailer.py'] },
      },
    ],
  ]);
});

test('two Tomcats of one java differ by the argument that only one of them has', () => {
  const java = { ...session, exe: '/usr/lib/jvm/java-17/bin/java', uid: 1000, user: 'tomcat' };
  const found = look([
    {
      ...java,
      args: 'java -Xmx1g -cp /usr/share/x.jar -Dcatalina.base=/opt/tc1 org.apache.catalina.startup.Bootstrap start',
      ports: [8080],
    },
    {
      ...java,
      args: 'java -Xmx2g -cp /usr/share/x.jar -Dcatalina.base=/opt/tc2 org.apache.catalina.startup.Bootstrap start',
      ports: [8081],
    },
  ]);
  assert.equal(
    found.map(({ suggested }) => [
      suggested.name,
      (suggested.match as { process: { args: string[] } }[])[0]!.process.args[0],
    ]),
    [
      ['java-tc1', '-Dcatalina.base=/opt/tc1'],
      ['java-tc2', '-Dcatalina.base=/opt/tc2'],
    ],
  );
  assert.is(found[0]?.confidence, 0.7);
  assert.match(found[0]?.note ?? '', /by hand in session-3\.scope/);
});

test('java is named by its jar, else by its class', () => {
  const java = { ...session, exe: '/usr/lib/jvm/java-17/bin/java' };
  const found = look([
    { ...java, args: 'java -Xmx1g -jar /srv/orders.jar --server', ports: [1] },
    { ...java, args: 'java -cp /opt/kafka/libs kafka.Kafka server.cfg', ports: [2] },
  ]);
  assert.equal(brief(found), [
    ['orders', 0.7, { process: { exe: '/usr/lib/jvm/java-17/bin/java', user: 'root', args: ['/srv/orders.jar'] } }],
    ['java-kafka', 0.7, { process: { exe: '/usr/lib/jvm/java-17/bin/java', user: 'root', args: ['kafka.Kafka'] } }],
  ]);
});

test('an argument that looks like a secret is never suggested', () => {
  const found = look([
    { exe: '/opt/d', args: 'd --password=hunter2 --port=1', ports: [1] },
    { exe: '/opt/d', args: 'd --password=hunter3 --port=2', ports: [2] },
  ]);
  assert.not.match(JSON.stringify(found), /hunter/);
  assert.equal(brief(found)[0], ['d-1', 0.8, { process: { exe: '/opt/d', user: 'root', args: ['--port=1'] } }]);
});

test('what shares its listener with another program is less sure', () => {
  const found = look([
    { ...session, exe: '/u01/bin/tnslsnr', ports: [1521] },
    { ...session, exe: '/u01/bin/oracle', shares: 100 },
  ]);
  assert.equal([found.length, found[0]?.confidence], [1, 0.4]);
  assert.match(found[0]?.note ?? '', /shares its listener with \/u01\/bin\/oracle/);
});

test('a container whose runtime answers is named as that calls it', () => {
  const cgroup = '/machine.slice/libpod-77.scope/container';
  const [found] = look([{ exe: '/usr/sbin/nginx', cgroup, ports: [80] }], { containers: { [cgroup]: 'web-1' } });
  assert.equal(found!.suggested.match, [{ container: { name: 'web-1' } }]);
  assert.equal([found!.suggested.name, found!.confidence, found!.grade], ['web-1', 1, 'late']);
});

test('a container is named by its cgroup, and the note says that this does not last', () => {
  const id = '4f5a0123456789abcdef';
  const found = look([
    { ...system(`docker-${id}.scope`), exe: '/usr/local/bin/app', isHostPath: false, ports: [8080] },
  ]);
  assert.equal(brief(found), [[`app-4f5a01`, 1, { cgroup: `system.slice/docker-${id}.scope` }]]);
  assert.match(found[0]?.note ?? '', /made again/);
});

test('sockets that systemd holds are told, and not when the service has them too', () => {
  const systemd = { pid: 1, exe: '/usr/lib/systemd/systemd', cgroup: '/init.scope' };
  assert.equal(brief(look([{ ...systemd, ports: [22] }])), [['port-22', 0.3, { listen: ['22/tcp'] }]]);
  const found = look([
    { ...systemd, ports: [7002] },
    { ...system('per.service'), exe: '/opt/per', shares: 1 },
  ]);
  assert.equal(brief(found), [['per', 1, { systemdUnit: 'per.service' }]]);
});

test('sshd comes last and the note says that it cannot be cut off', () => {
  const found = look([
    { ...system('ssh.service'), exe: '/usr/sbin/sshd', ports: [22] },
    { exe: '/opt/any', ports: [1] },
  ]);
  assert.equal(
    found.map(({ suggested }) => suggested.name),
    ['any', 'ssh'],
  );
  assert.match(found[1]?.note ?? '', /no rule cuts it off/);
});

test('claimed services, clients of UDP and processes that only connect are left out', () => {
  const found = look(
    [{ exe: '/opt/a', ports: [1] }, { exe: '/opt/b', udp: [40000] }, { exe: '/opt/c' }, { exe: '/opt/d', udp: [53] }],
    { claimed: [100] },
  );
  assert.equal(
    brief(found).map(([name]) => name),
    ['d'],
  );
});

test('names are valid and free', () => {
  const found = look(
    [
      { exe: '/opt/Weird Näme_1', ports: [1] },
      { exe: '/opt/a/daemon', ports: [2] },
      { exe: '/opt/b/daemon', ports: [3] },
      { exe: '/opt/---', ports: [4] },
      { ...system('postgresql@15-main.service'), exe: '/p', ports: [5432] },
    ],
    { taken: ['default/daemon'] },
  );
  assert.equal(
    found.map(({ suggested }) => suggested.name),
    ['postgresql-15-main', 'weird-n-me-1', 'daemon-2', 'daemon-3', 'service'],
  );
});

test('each suggestion is a registration that the server takes, and its command carries it whole', () => {
  const found = look([
    { exe: "/opt/it's [a] *", args: "x --name=it's*", ports: [1] },
    { exe: "/opt/it's [a] *", args: 'x --name=other', ports: [2] },
    { ...session, exe: '/usr/bin/python3.11', args: 'python3 -m http.server', ports: [3] },
  ]);
  for (const { suggested, curl } of found) {
    const body = { labels: suggested.labels, match: suggested.match };
    assert.ok(validateWorkload(suggested.namespace, suggested.name, body).ok, JSON.stringify(body));
    const quoted = /-d '(.*)'$/.exec(curl!)![1]!;
    assert.equal(parse(quoted.replaceAll("'\\''", "'")), body);
    assert.match(curl!, /^curl -X PUT 'http:\/\/127\.0\.0\.1:7460\/v1\/workloads\/default\//);
  }
});

test('the command of an ordinary service can be copied out of the JSON answer', () => {
  const { curl } = look([{ ...session, exe: '/usr/bin/python3.11', args: 'python3 /srv/a.py', ports: [3] }])[0]!;
  assert.is(JSON.stringify(curl), `"${curl}"`);
});

test('a text that YAML could take for something else arrives as it is', () => {
  const texts = [
    'true',
    'Null',
    '~',
    '123',
    '1e5',
    '0x1F',
    '-1',
    '-',
    '*a',
    '&a',
    'a: b',
    'a #b',
    '#',
    '',
    ' ',
    '@x',
    '`',
    '%',
  ];
  const body = {
    labels: Object.fromEntries(texts.map((text, i) => [`k${i}`, text])),
    match: [{ args: texts }],
    n: 7,
    no: null,
  };
  const command = registrationCurl('http://x/', body);
  assert.equal(parse(/-d '(.*)'$/.exec(command)![1]!), body);
  assert.match(
    registrationCurl('http://x/', { listen: ['8080/tcp'], 'app.io/a': '--port=1' }),
    /'\{listen: \[8080\/tcp\], app.io\/a: --port=1\}'$/,
  );
});

test('the unit of a process is told by its cgroup', () => {
  const rows: [string, string | undefined, string | undefined][] = [
    ['/system.slice/nginx.service', 'nginx.service', 'service'],
    ['/system.slice/system-pg.slice/pg@15.service/worker', 'pg@15.service', 'service'],
    ['/user.slice/user-0.slice/session-3.scope', 'session-3.scope', 'session'],
    ['/user.slice/user-1000.slice/user@1000.service/app.slice/x.service', 'user@1000.service', 'session'],
    ['/system.slice/docker-0123456789abcdef.scope/init', 'docker-0123456789abcdef.scope', 'container'],
    ['/init.scope', 'init.scope', 'scope'],
    ['/erp.slice', undefined, undefined],
    ['/', undefined, undefined],
  ];
  for (const [cgroup, name, kind] of rows)
    assert.equal([unitOf(cgroup)?.name, unitOf(cgroup)?.kind], [name, kind], cgroup);
});

if (isRoot && cgroupRoot() !== undefined) {
  const host = new RealHost();
  test.after(() => host.close());

  test('real services are found, and each suggestion names its own service and no other', async () => {
    const top = `postern-test-discover-${process.pid}`;
    const script = host.file('listener.mjs', LISTENER);
    const other = host.file('other.mjs', LISTENER);
    const started = [
      await host.listen(script, { cgroup: host.cgroup(`${top}/web.service`) }),
      await host.listen(script, { cgroup: host.cgroup(`${top}/pair.service`), args: ['--name=one'] }),
      await host.listen(other, { cgroup: host.cgroup(`${top}/pair.service`) }),
      await host.listen(script, { args: ['--name=two'] }),
      await host.listen(script, { args: ['--name=three'], uid: 65534, gid: 65534 }),
    ];
    const pids = new Set(started.map(({ pid }) => pid));
    const users = createUserNames();
    const processes = scanProcesses(users);
    const { sockets } = scanListening(processes.filter(({ pid }) => pids.has(pid)));
    const found = discover({
      host: 'h',
      processes,
      sockets,
      isClaimed: () => false,
      taken: new Set(),
      baseUrl: 'http://127.0.0.1:7460',
    });
    assert.equal(new Set(found.map(({ process: { pid } }) => pid)), pids);
    const workloads = found.map(({ suggested }, i) => {
      const result = validateWorkload(suggested.namespace, suggested.name, {
        labels: suggested.labels,
        match: suggested.match,
      });
      if (!result.ok) throw new Error(JSON.stringify(result.errors));
      return { ...result.value, identity: 65792 + i, createdRevision: i + 1 };
    });
    const program = compileMatch(workloads, loadMatchFacts(workloads, users, createSocketUnitFiles([])));
    for (const {
      process: { pid },
      suggested,
      listening,
    } of found) {
      const decision = decideProcess(program, toFacts(processes.find((read) => read.pid === pid)!));
      assert.is(decision.clause?.workload, `default/${suggested.name}`, JSON.stringify(suggested));
      assert.equal(
        listening.map(({ port }) => port),
        started.filter((one) => one.pid === pid).map(({ port }) => port),
      );
    }
  });
} else {
  skip(test, 'real services are found, and each suggestion names its own service and no other', 'root: makes cgroups');
}

test.run();
