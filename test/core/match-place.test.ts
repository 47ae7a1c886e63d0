import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { claimOf } from '../../src/core/match-claim.ts';
import { decideProcess } from '../../src/core/match-decide.ts';
import type { Container } from '../../src/core/match-place.ts';
import { compileMatch } from '../../src/core/match-program.ts';
import type { MatchClause } from '../../src/core/workload.ts';
import { FACTS, program, registered } from './match-world.ts';

const test = suite('user units and containers');

const container = (name: string, more: Partial<Container> = {}): Container => ({
  id: name,
  name,
  image: 'reg/app:1.2',
  labels: { tier: 'web' },
  cgroup: `system.slice/docker-${name}.scope`,
  ...more,
});
const CONTAINERS = [container('web-1'), container('web-2', { labels: {} }), container('db', { image: 'reg/pg:15' })];
const facts = { ...FACTS, containers: CONTAINERS };
const TOMCAT = '/user.slice/user-1000.slice/user@1000.service';

const rows: [clause: MatchClause, cgroup: string, isIt: boolean][] = [
  [{ systemdUserUnit: 'tomcat/x.service' }, `${TOMCAT}/app.slice/x.service`, true],
  [{ systemdUserUnit: 'tomcat/x.service' }, `${TOMCAT}/x.service`, true],
  [{ systemdUserUnit: 'tomcat/x.service' }, `${TOMCAT}/app.slice/x.service/inner`, true],
  [{ systemdUserUnit: '1000/x@*.service' }, `${TOMCAT}/app.slice/app-x.slice/x@1.service`, true],
  [{ systemdUserUnit: 'tomcat/x.service' }, `${TOMCAT}/app.slice/ax.service`, false],
  [{ systemdUserUnit: 'tomcat/x.service' }, '/system.slice/x.service', false],
  [{ systemdUserUnit: 'tomcat/x.service' }, '/user.slice/user-1001.slice/user@1001.service/app.slice/x.service', false],
  [{ systemdUnit: 'x.service' }, `${TOMCAT}/app.slice/x.service`, false],
  [{ container: { name: 'web-*' } }, '/system.slice/docker-web-1.scope', true],
  [{ container: { name: 'web-*' } }, '/system.slice/docker-web-2.scope/init.scope', true],
  [{ container: { name: 'web-*' } }, '/system.slice/docker-db.scope', false],
  [{ container: { image: 'reg/pg:*' } }, '/system.slice/docker-db.scope', true],
  [{ container: { image: 'reg/*:1.2', labels: { tier: 'w*' } } }, '/system.slice/docker-web-1.scope', true],
  [{ container: { image: 'reg/*:1.2', labels: { tier: 'w*' } } }, '/system.slice/docker-web-2.scope', false],
];
for (const [clause, cgroup, isIt] of rows)
  test(`${JSON.stringify(clause)} ${isIt ? 'names' : 'does not name'} what runs in ${cgroup}`, () => {
    const compiled = program({ 'n/a': clause }, facts);
    assert.is(decideProcess(compiled, { args: [], uid: 1000, cgroup }).clause?.workload, isIt ? 'n/a' : undefined);
  });

test("a user's manager is looked for below the cgroup of the system's own, not at any depth", () => {
  const below = (cgroupRoot: string, cgroup: string) => {
    const compiled = program({ 'n/a': { systemdUserUnit: 'tomcat/x.service' } }, { ...facts, cgroupRoot });
    return decideProcess(compiled, { args: [], uid: 1000, cgroup }).clause !== undefined;
  };
  assert.ok(below('/lxc/a', `/lxc/a${TOMCAT}/x.service`));
  assert.not(below('/lxc/a', `${TOMCAT}/x.service`));
  assert.not(below('', `/lxc/a${TOMCAT}/x.service`));
});

test('both stand apart from who could forge them, and say when they are decided', () => {
  assert.equal(claimOf([{ systemdUserUnit: 'alice/x.service' }]), { grade: 'firstPacket', spoofable: null });
  assert.equal(claimOf([{ systemdUserUnit: 'alice/x@*.service' }]), { grade: 'late', spoofable: null });
  assert.equal(claimOf([{ container: { name: 'x' } }]), { grade: 'late', spoofable: null });
});

test('what cannot be known yet waits, and says for what', () => {
  const reasons = (clause: MatchClause, more: object) =>
    compileMatch(registered({ 'n/a': clause }), { ...FACTS, ...more }).waiting.map(({ reason }) => reason);
  assert.equal(reasons({ systemdUserUnit: 'nobody-here/x.service' }, {}), [
    'user "nobody-here" does not exist on this host',
  ]);
  assert.equal(reasons({ container: { name: 'x' } }, {}), ['no container runtime answers on this host']);
  assert.equal(reasons({ container: { name: 'x' } }, { containers: CONTAINERS }), ['no running container matches']);
});

test('a place and what a process is are both needed', () => {
  const compiled = program({ 'n/a': { container: { name: 'web-1' }, process: { args: ['--worker'] } } }, facts);
  const at = (cgroup: string, args: string[]) => decideProcess(compiled, { args, uid: 0, cgroup }).clause?.workload;
  assert.is(at('/system.slice/docker-web-1.scope', ['x', '--worker']), 'n/a');
  assert.is(at('/system.slice/docker-web-1.scope', ['x']), undefined);
  assert.is(at('/system.slice/docker-web-2.scope', ['x', '--worker']), undefined);
});

test('more units of one user than the kernel tells apart are late, and none is lost', () => {
  const table = Object.fromEntries(
    Array.from({ length: 9 }, (_, i) => [`n/w${i}`, { systemdUserUnit: `tomcat/w${i}.service` }]),
  );
  const compiled = program(table);
  assert.equal([compiled.clauses.length, compiled.late.length], [6, 3]);
  for (let i = 0; i < 9; i++) {
    const cgroup = `${TOMCAT}/app.slice/w${i}.service`;
    assert.is(decideProcess(compiled, { args: [], uid: 1000, cgroup }).clause?.workload, `n/w${i}`);
  }
});

test.run();
