/** Who talks without a name; how much in the last quarter of an hour; what is out of policy's sight. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { discover } from '../../src/agent/discover.ts';
import { scanSlowly } from '../../src/agent/look-slowly.ts';
import { RecentCounts } from '../../src/agent/recent-counts.ts';
import { failsafeOf, hiddenContainers, packetUsers } from '../../src/agent/surroundings.ts';
import { Talkers } from '../../src/agent/talkers.ts';
import { createUserNames } from '../../src/agent/user-names.ts';
import type { Flow } from '../../src/api/flow.ts';
import { skip } from '../skip.ts';
import { isRoot, RealHost } from './real.ts';

const test = suite('talkers');
const NOW = Date.parse('2026-11-24T09:30:00Z');
const CURL = { pid: 7, exe: '/usr/bin/curl', user: 'www-data', unit: 'cron.service' };

const flow = (process: object, to: object, more: Partial<Flow> = {}): Flow => ({
  ...{ time: '2026-11-24T09:29:00.000000Z', event: 'connect', verdict: 'FORWARDED', protocol: 'TCP' },
  source: { identity: 1, process: process as typeof CURL },
  destination: to,
  ...more,
});
const WORLD = { ip: '198.51.100.9', port: 443 };

test('a program is one talker however many processes it was, newest peers first', () => {
  const talkers = new Talkers();
  talkers.push(flow(CURL, WORLD));
  talkers.push(flow({ ...CURL, pid: 9 }, { workload: 'shop/backend', ip: '10.0.0.9', port: 6379 }));
  talkers.push(flow({ ...CURL, pid: 9 }, WORLD));
  talkers.push(
    flow({ ...CURL, exe: '/usr/bin/dig' }, { ip: '2001:db8::53', port: 53 }, { protocol: 'UDP', event: 'exchange' }),
  );
  assert.equal(
    talkers.list(NOW).map(({ pid, exe, talksTo }) => [pid, exe, talksTo]),
    [
      [7, '/usr/bin/dig', ['[2001:db8::53]:53/UDP']],
      [9, '/usr/bin/curl', ['198.51.100.9:443/TCP', 'shop/backend:6379/TCP']],
    ],
  );
});

test('who gets a name, or is silent for a day, is no talker', () => {
  const talkers = new Talkers();
  talkers.push(flow(CURL, WORLD));
  assert.equal(talkers.list(NOW + 25 * 3600_000), []);
  talkers.push({ ...flow(CURL, WORLD), source: { workload: 'shop/job', process: CURL } });
  assert.equal(talkers.list(NOW), []);
});

test('an accepted connection or an end says nothing of its other side', () => {
  const talkers = new Talkers();
  talkers.push(flow(CURL, WORLD, { event: 'accept' }));
  talkers.push(flow(CURL, WORLD, { event: 'close' }));
  assert.equal(talkers.list(NOW), []);
});

test('a talker that has ended is proposed by what is known of it, below what listens', () => {
  const talkers = new Talkers();
  talkers.push(flow(CURL, WORLD));
  const [found] = discover({
    ...{ processes: [], sockets: [], isClaimed: () => false, host: 'web-1', taken: new Set(), baseUrl: 'http://p' },
    talkers: talkers.list(NOW),
  });
  assert.equal(
    [found!.kind, found!.suggested.match, found!.confidence, found!.talksTo],
    [
      'talker',
      [{ systemdUnit: 'cron.service', process: { exe: '/usr/bin/curl', user: 'www-data' } }],
      0.7,
      ['198.51.100.9:443/TCP'],
    ],
  );
});

test('counts are of the last 15 minutes, each connection once', () => {
  const counts = new RecentCounts();
  counts.push(flow(CURL, WORLD), NOW - 16 * 60_000);
  counts.push(flow(CURL, WORLD), NOW - 14 * 60_000);
  counts.push(flow(CURL, WORLD, { event: 'accept' }), NOW);
  counts.push(flow(CURL, WORLD, { event: 'close' }), NOW);
  counts.push(flow(CURL, WORLD, { event: 'exchange' }), NOW);
  counts.push(flow(CURL, WORLD, { event: 'deny', verdict: 'DROPPED' }), NOW);
  counts.push(flow(CURL, WORLD, { event: 'audit', verdict: 'AUDIT' }), NOW);
  assert.equal(counts.read(NOW), { allowed: 2, denied: 1, audit: 1, minutes: 15 });
});

test('sshd is ahead of policy with its ports, for root alone', () => {
  const sshd = { pid: 5, exe: '/usr/sbin/sshd', uid: 0 };
  const sockets = [{ protocol: 6, port: 22, address: '0.0.0.0', inode: 1, netns: 1, pids: [5, 6] }];
  const look = { processes: [sshd, { ...sshd, pid: 6, uid: 1000 }], sockets };
  assert.equal(failsafeOf(look as never), ['22/TCP sshd']);
});

const PACKET = 'who holds a packet socket is named';
if (!isRoot) skip(test, PACKET, 'root: packet sockets');
else
  test(PACKET, async () => {
    const host = new RealHost();
    try {
      const script = 'use Socket; socket(my $s, 17, SOCK_RAW, 0) or die $!; $| = 1; print qq(ready\\n); sleep 100';
      const { pid } = await host.start('perl', ['-e', script]);
      const users = createUserNames();
      const look = await scanSlowly(users);
      assert.ok((await packetUsers(look)).includes(`AF_PACKET perl (pid ${pid})`));
    } finally {
      await host.close();
    }
  });

test("containers in a network of their own are out of sight of other hosts, those in the host's are not", async () => {
  const { processes } = await scanSlowly(createUserNames());
  const own = processes.find(({ pid }) => pid === process.pid)!;
  const list = [
    { ...own, cgroup: '/a' },
    { ...own, cgroup: '/b', netns: own.netns + 1 },
    { ...own, cgroup: '/b/inner', netns: own.netns + 1 },
    { ...own, cgroup: '/c', netns: own.netns + 2 },
    { ...own, cgroup: '/none', netns: own.netns + 3 },
  ];
  const box = (id: string) => ({ id, name: id, image: '', labels: {}, cgroup: id });
  const containerOf = (cgroup: string) => (cgroup === '/none' ? undefined : box(cgroup.split('/')[1]!));
  assert.equal(hiddenContainers({ processes: list }, containerOf), ['2 containers behind masquerade']);
  assert.equal(hiddenContainers({ processes: list.slice(0, 1) }, containerOf), []);
});

test.run();
