import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Lineage } from '../../src/agent/lineage.ts';
import { Looks } from '../../src/agent/looks.ts';
import type { HostProcess } from '../../src/agent/process-scan.ts';
import { DEFAULT_GATEWAYS } from '../../src/core/gateways.ts';

const test = suite('drift');

const process = (exe: string, args: readonly string[], more: Partial<HostProcess> = {}): HostProcess => ({
  ...{ pid: 7, ppid: 1, startTicks: 1, startedAt: '', exe, isExeGone: false, isHostPath: true },
  ...{ args: [exe, ...args], uid: 5, user: 'tomcat', cgroup: '/', netns: 1 },
  ...more,
});
const tomcat = (name: string) => process('/usr/bin/java', ['-cp', '/opt/x.jar', `-Dbase=/opt/${name}`, 'Main']);

test('of two workloads of one program the one with the same arguments is meant', () => {
  const looks = new Looks();
  looks.learn('erp/tc1', tomcat('tc1'));
  looks.learn('erp/tc2', tomcat('tc2'));
  assert.is(looks.like(tomcat('tc1')), 'erp/tc1');
  assert.is(looks.like(tomcat('tc3')), undefined, 'as much like the one as like the other');
});

const rows: [what: string, HostProcess, boolean][] = [
  ['the same', process('/usr/sbin/d', ['-D', '/a']), true],
  ['half of the arguments', process('/usr/sbin/d', ['-D', '/b']), true],
  ['none of the arguments', process('/usr/sbin/d', ['-x']), false],
  ['another user', process('/usr/sbin/d', ['-D', '/a'], { uid: 0 }), false],
  ['another executable', process('/usr/sbin/e', ['-D', '/a']), false],
  ['an executable of a container', process('/usr/sbin/d', ['-D', '/a'], { isHostPath: false }), false],
];
for (const [what, other, isLike] of rows)
  test(`${what} is ${isLike ? '' : 'not '}what was seen in its place`, () => {
    const looks = new Looks();
    looks.learn('n/d', process('/usr/sbin/d', ['-D', '/a']));
    assert.is(looks.like(other), isLike ? 'n/d' : undefined);
  });

test('looks are kept without a word of the arguments, and forgotten with the workload', () => {
  const looks = new Looks();
  looks.learn('n/d', process('/usr/sbin/d', ['--password=hunter2']));
  const saved = looks.saved();
  assert.not.match(JSON.stringify(saved), /hunter2|password/);
  assert.equal([looks.takeChanged(), looks.takeChanged()], [true, false]);
  assert.is(new Looks(saved).like(process('/usr/sbin/d', ['--password=hunter2'])), 'n/d');
  looks.forget(() => false);
  assert.equal(looks.saved(), {});
});

test('what a unit starts by su descends from it; what cron or sshd starts does not', () => {
  const lineage = new Lineage(DEFAULT_GATEWAYS);
  lineage.exec(10, 1, '/usr/bin/su', '/x', 'db/ora');
  lineage.exec(11, 10, '/usr/bin/bash', '/x', undefined);
  lineage.exec(12, 11, '/opt/daemon', '/x', undefined);
  assert.equal(
    [11, 12].map((pid) => lineage.of(pid)),
    ['db/ora', 'db/ora'],
  );
  lineage.exec(20, 1, '/usr/sbin/sshd', '/x', 'infra/ssh');
  lineage.exec(21, 20, '/usr/bin/bash', '/x', undefined);
  assert.is(lineage.of(21), undefined);
  lineage.exec(12, 1, '/opt/other', '/x', undefined);
  assert.is(lineage.of(12), 'db/ora', 'an exec of the same process');
  const session = '/user.slice/user-5.slice/session-c1.scope';
  lineage.exec(13, 10, '/usr/bin/bash', session, undefined);
  lineage.exec(14, 1, '/opt/orphan', session, undefined);
  assert.is(lineage.of(14), 'db/ora', 'in the session that su has opened');
});

test.run();
