/** Findings without an agent: paths walked as a process would, permission bits, mounts, settings, texts, and who is told. */
import { chmodSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Findings } from '../../src/agent/findings.ts';
import { CAPABILITIES, has, strongerOf } from '../../src/agent/findings-capability.ts';
import { toDropIn, type UnitNeeds, userNameFor } from '../../src/agent/findings-fix.ts';
import { findingsLook } from '../../src/agent/findings-look.ts';
import { isMounted, parseMounts } from '../../src/agent/findings-mounts.ts';
import { changeableBy, mayConnect, type PathPart, type Who, walkPath } from '../../src/agent/findings-path.ts';
import { parseStatus } from '../../src/agent/findings-process.ts';
import { type Seen, type Trait, toFindings } from '../../src/agent/findings-text.ts';
import { accountsOf, writersOf } from '../../src/agent/findings-writers.ts';
import { type HostProcess, readProcess } from '../../src/agent/process-scan.ts';
import { runAtOnce, type Steps } from '../../src/agent/steps.ts';
import { unitOf } from '../../src/agent/unit-of.ts';
import { createUserNames } from '../../src/agent/user-names.ts';
import { RealHost } from './real.ts';

const test = suite('findings');
const host = new RealHost();
test.after(() => host.close());

const part = (path: string, mode: number, uid = 0, gid = 0): PathPart => ({
  ...{ path, isFolder: !path.endsWith('.x') && !path.endsWith('.sock'), isSocket: path.endsWith('.sock') },
  ...{ uid, gid, mode, inode: path },
});
const who = (uid: number, ...groups: number[]): Who => ({ uid, groups: new Set(groups) });
const ROOT = part('/', 0o755);

test('a way is walked inside the root of the process: links that begin with / stay in there', () => {
  const root = join(host.folder, 'root');
  mkdirSync(join(root, 'run/docker'), { recursive: true });
  mkdirSync(join(root, 'var'));
  host.file('root/run/docker/x', '');
  symlinkSync('/run', join(root, 'var/run'));
  symlinkSync('../docker/./x', join(root, 'run/docker/link'));
  symlinkSync('/loop', join(root, 'loop'));
  const paths = (path: string) => walkPath(root, path)?.map((one) => one.path);
  const twice = ['/', '/var', '/run', '/run/docker', '/run/docker', '/run/docker/x'];
  assert.equal(paths('/var/run/docker/link'), twice, 'each folder as often as it is passed');
  assert.equal(
    paths('/../../run/docker/x'),
    ['/', '/run', '/run/docker', '/run/docker/x'],
    'above the root is the root',
  );
  assert.equal([paths('/none'), paths('/loop'), paths('/run/docker/x/y')], [undefined, undefined, undefined]);
});

test('who may connect: the way there, and to write, by the first class that holds', () => {
  const rows: [number, Who, boolean][] = [
    [0o660, who(0), true],
    [0o660, who(7, 5), true],
    [0o660, who(7, 6), false],
    [0o606, who(7, 5), false], // the group has less than all others
    [0o666, who(7), true],
    [0o000, { ...who(7), overrides: true }, true],
  ];
  for (const [mode, one, expected] of rows)
    assert.is(mayConnect(one, [ROOT, part('/d.sock', mode, 0, 5)]), expected, `${mode.toString(8)} ${one.uid}`);
  const closed = [ROOT, part('/run', 0o700), part('/run/d.sock', 0o666)];
  assert.equal([mayConnect(who(7), closed), mayConnect({ ...who(7), searches: true }, closed)], [false, true]);
});

test('who may replace: writes a folder or the file, or owns one, unless the sticky bit or a closed folder keeps him off', () => {
  const way = (mode: number, folderUid = 0, fileUid = 0) => [
    ...[ROOT, part('/a', mode, folderUid), part('/a/b.x', 0o755, fileUid)],
  ];
  const rows: [PathPart[], Who, string[]][] = [
    [way(0o755), who(7), []],
    [way(0o777), who(7), ['/a']],
    [way(0o1777), who(7), []],
    [way(0o1777, 0, 7), who(7), ['/a', '/a/b.x']],
    [way(0o755, 7, 7), who(7), ['/a', '/a/b.x']],
    [way(0o775), who(7, 0), ['/a']],
    [way(0o500, 7), who(7), ['/a']], // who owns it gives himself the right
    [[ROOT, part('/a', 0o700), part('/a/c', 0o777), part('/a/c/b.x', 0o777)], who(7), []],
  ];
  for (const [i, [parts, one, expected]] of rows.entries())
    assert.equal(changeableBy(one, parts), expected, `row ${i}`);
  assert.equal(
    changeableBy(who(7), way(0o777), (path) => path === '/a'),
    [],
    'mounted read-only',
  );
});

test('groups count when somebody is in them; everybody stands for all', () => {
  host.file('passwd', 'root:x:0:0::/root:/bin/sh\ndeploy:x:7:70:::\n');
  host.file('group', 'root:x:0:\nempty:x:60:\nops:x:61:root,deploy\ndeploy:x:70:\n');
  const accounts = accountsOf(host.folder);
  const by = (mode: number, uid = 0, gid = 0) =>
    writersOf([ROOT, part('/a', mode, uid, gid), part('/a/b.x', 0o755)], 99, accounts).map((one) => one.by);
  assert.equal(by(0o775, 0, 60), []);
  assert.equal([by(0o775, 0, 61), by(0o775, 0, 70)], [['group ops'], ['group deploy']]);
  assert.equal(by(0o775, 0, 12_345), ['group 12345'], 'of a group that no file has nothing is known');
  assert.equal([by(0o777, 7, 61), by(0o755, 7), by(0o755, 99)], [['everybody'], ['user deploy'], []]);
  host.file('group', 'root:x:0:\nempty:x:60:deploy\n');
  assert.is(accountsOf(host.folder).hasMembers(60), true, 'read again when it has changed');
});

test('the mount that counts is the innermost, and of one place the last', () => {
  const mounts = parseMounts(
    [
      '1 0 8:1 / / rw,relatime - ext4 /dev/sda rw',
      '2 1 8:1 /srv /srv/a\\040b ro,nosuid - ext4 /dev/sda rw',
      '3 1 8:1 /srv /opt ro - ext4 /dev/sda rw',
      '4 1 8:1 /srv /opt rw - ext4 /dev/sda rw',
    ].join('\n'),
  );
  assert.equal(
    ['/srv/a b/x', '/srv/a', '/srv/a bc', '/opt/x'].map((path) => isMounted(mounts, path, 'ro')),
    [true, false, false, false],
  );
});

test('capabilities have the numbers of the kernel, and those stronger than policy come first by strength', () => {
  assert.equal(
    ['CAP_CHOWN', 'CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_SYS_ADMIN', 'CAP_BPF', 'CAP_CHECKPOINT_RESTORE'].map((name) =>
      CAPABILITIES.indexOf(name),
    ),
    [0, 12, 13, 21, 39, 40],
  );
  assert.equal(strongerOf(1n | (1n << 13n) | (1n << 21n)), ['CAP_SYS_ADMIN', 'CAP_NET_RAW']);
  const status = 'Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \nCapEff:\t0000008000000001\nNoNewPrivs:\t1\n';
  const { uid, groups, effective, noNewPrivs } = parseStatus(status);
  assert.equal([uid, [...groups], has(effective, 'CAP_BPF'), noNewPrivs], [4, [8, 9, 10], true, true]);
});

const NEEDS: UnitNeeds = { unit: 'a.service', workloads: ['shop/a'], capabilities: [], sockets: [], ownsCgroup: false };

test('settings only take away, and root is not changed to somebody else without a person', () => {
  const lines = (needs: Partial<UnitNeeds>) =>
    toDropIn({ ...NEEDS, ...needs })
      .content.split('\n')
      .filter((line) => line !== '' && !line.startsWith('# '));
  assert.equal(lines({}), ['[Service]', 'NoNewPrivileges=yes']);
  assert.equal(lines({ sharedUid: 7 }).slice(2), ['User=shop-a', 'Group=shop-a']);
  assert.equal(lines({ sharedUid: 0 }).slice(2), ['#User=shop-a', '#Group=shop-a']);
  assert.equal(lines({ capabilities: ['CAP_BPF'], ambient: [] }).slice(1, 3), [
    ...['CapabilityBoundingSet=~CAP_BPF', 'AmbientCapabilities='],
  ]);
  assert.equal(['shop/a.b', '9/x', `shop/${'long'.repeat(20)}`].map(userNameFor), [
    'shop-a-b',
    'w-9-x',
    `shop-${'long'.repeat(20)}`.slice(0, 31),
  ]);
});

const seen = (workload: string, cgroup: string, traits: Trait[], pid = 10): Seen => ({
  ...{ workload, traits, unit: unitOf(cgroup) },
  process: { pid, exe: '/bin/x', user: 'u', uid: 7, cgroup } as HostProcess,
});
const all = (...list: Seen[]) => runAtOnce(toFindings(list, 'h'));
const cap = (subject: string): Trait => ({ kind: 'capability', subject });

test('the worst comes first; of many processes ten are named and the rest counted', () => {
  const unit = '/system.slice/a.service';
  const many = Array.from({ length: 13 }, (_, i) => seen('s/a', unit, [cap('CAP_NET_RAW')], 100 - i));
  const found = all(...many, seen('s/b', unit, [cap('CAP_BPF'), { kind: 'delegatedCgroup', subject: unit }]));
  assert.equal(
    found.map(({ id, severity }) => [id, severity]),
    [
      ['h/s/b/capability/a.service', 'high'],
      ['h/s/a/capability/a.service', 'medium'],
      ['h/s/b/delegatedCgroup/a.service', 'low'],
    ],
  );
  const { processes, more } = found[1]!;
  assert.equal([processes.length, processes[0]!.pid, more], [10, 88, 3]);
  const dropIns = new Set(found.map(({ fix }) => fix.dropIn!.content));
  assert.is(dropIns.size, 1, 'one file for the unit, whatever is looked at');
  assert.match([...dropIns][0]!, /for s\/a, s\/b[\s\S]*=~CAP_BPF CAP_NET_RAW\n[\s\S]*Delegate=no\n$/);
});

test('where no settings are made it is said what to do instead', () => {
  const id = 'a'.repeat(64);
  const [inContainer] = all(seen('s/a', `/system.slice/docker-${id}.scope`, [cap('CAP_NET_RAW')]));
  assert.equal([inContainer!.id, inContainer!.fix.dropIn], ['h/s/a/capability/container', undefined]);
  assert.match(inContainer!.fix.text, /--cap-drop/);
  const inImage: Trait = { kind: 'writableExecutable', subject: '/a', by: 'everybody', at: ['/a'] };
  const [image] = all(seen('s/a', `/system.slice/docker-${id}.scope`, [inImage]));
  assert.equal(
    [image!.fix.commands, /image/.test(image!.fix.text)],
    [undefined, true],
    'its paths are none of the host',
  );
  const [bySession] = all(seen('s/a', '/user.slice/user-7.slice/session-1.scope', [cap('CAP_NET_RAW')]));
  assert.equal([bySession!.id, bySession!.unit], ['h/s/a/capability', undefined]);
  const file: Trait = { kind: 'writableExecutable', subject: "/a/it's.x", by: 'everybody', at: ['/a', "/a/it's.x"] };
  const [executable] = all(seen('s/a', '/system.slice/a.service', [file]));
  assert.equal(executable!.fix.commands, [`chown root /a '/a/it'\\''s.x'`, `chmod go-w /a '/a/it'\\''s.x'`]);
  const shared = (workload: string): Trait[] => [{ kind: 'sharedUser', subject: workload, uid: 7 }];
  const both = all(
    seen('s/a', '/system.slice/a.service', shared('s/b')),
    seen('s/b', '/system.slice/a.service', shared('s/a')),
  );
  assert.equal(new Set(both.map(({ fix }) => fix.text)), new Set(['put each of them into a unit of its own']));
});

test('a host whose packet sockets are not judged is a finding of the host', () => {
  const [finding] = runAtOnce(toFindings([], 'h', 'Cannot make a clsact qdisc at "eth0": ENOENT'));
  assert.equal([finding!.id, finding!.workload, finding!.severity], ['h/noFrameGuard', undefined, 'medium']);
  assert.match(finding!.what, /clsact qdisc at "eth0": ENOENT$/);
});

function* labelled(count: number): Steps<{ process: HostProcess; workload: string }[]> {
  const own = readProcess(process.pid, createUserNames())!;
  const { pid } = own;
  return Array.from({ length: count }, (_, i) => ({ process: { ...own, pid }, workload: `s/${i}` }));
}

test('a look is taken in more steps than there are processes', () => {
  const steps = findingsLook({ host: 'h', cgroupMount: '/sys/fs/cgroup', labelled: labelled(50) });
  let count = 0;
  while (!steps.next().done) count++;
  assert.ok(count > 100, String(count));
});

test('the control plane is told what is new, once it has arrived no more, and again when it may have forgotten', async () => {
  let workloads = 2;
  let changes = 0;
  const findings = new Findings({
    input: () => ({ host: 'h', cgroupMount: '/sys/fs/cgroup', labelled: labelled(workloads) }),
    onChange: () => changes++,
    log: () => undefined,
  });
  assert.is(findings.untold(), undefined, 'nobody has looked yet');
  await findings.fresh();
  const first = findings.untold()!;
  assert.equal(first.findings, findings.found.items);
  assert.ok(findings.untold(), 'a report that did not arrive has told nothing');
  first.onTold();
  await findings.fresh();
  assert.equal([findings.untold(), changes], [undefined, 1]);
  workloads = 3;
  await findings.fresh();
  assert.ok(findings.untold());
  first.onTold();
  assert.ok(findings.untold(), 'an older report that arrives late does not hide it');
  findings.untold()!.onTold();
  assert.is(findings.untold(), undefined);
  findings.tellAgain();
  assert.ok(findings.untold());
  findings.stop();
});

chmodSync(host.folder, 0o755);
test.run();
