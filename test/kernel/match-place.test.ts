/** Units of a user's own manager, and containers whose cgroup is known: labelled in the kernel before anything runs inside. */
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compileMatch } from '../../src/core/match-program.ts';
import { MatchApplier } from '../../src/datapath/match-applier.ts';
import { FACTS, registered } from '../core/match-world.ts';
import { told } from '../e2e/wait.ts';
import { type OwnKernel, openKernel } from './own-kernel.ts';

const test = suite('places in the kernel');
let own: OwnKernel;

test.before(
  told(async () => {
    own = openKernel();
    own.kernel.attachTracing();
  }),
);
test.after(async () => {
  await own?.destroy();
});

/** Who a new cgroup of this path below the own one is. */
function made(applier: MatchApplier, path: string): string | undefined {
  const folder = join(own.cgroupDir, path);
  mkdirSync(folder, { recursive: true });
  const label = own.kernel.maps.cgroup_label.get(statSync(folder).ino);
  return label === undefined ? undefined : applier.clauseOf(label.clause)?.workload;
}

test('a unit of a user at any depth of his manager, and the cgroup of a container', () => {
  const applier = new MatchApplier(own.kernel.maps);
  const containers = ['a', 'b'].map((name) => ({
    ...{ id: name, name, image: 'app', labels: {} },
    cgroup: `${own.cgroupPath}/docker-${name}.scope`,
  }));
  const program = compileMatch(
    registered({
      'n/unit': { systemdUserUnit: 'tomcat/x.service' },
      'n/box': { container: { image: 'app' } },
    }),
    { ...FACTS, containers },
  );
  // a user's manager is below the root on a host; here everything is below the own cgroup
  const here = program.clauses.map((clause) => ({
    ...clause,
    ...(clause.places?.[0]?.startsWith('user.slice') && {
      places: clause.places.map((place) => `${own.cgroupPath}/${place}`),
    }),
  }));
  applier.apply({ ...program, clauses: here }, { gateways: [], failsafe: [] });
  const manager = 'user.slice/user-1000.slice/user@1000.service';
  assert.is(made(applier, `${manager}/app.slice/x.service`), 'n/unit');
  assert.is(made(applier, `${manager}/x.service`), 'n/unit');
  assert.is(made(applier, `${manager}/app.slice/ax.service`), undefined);
  assert.is(made(applier, 'user.slice/user-1001.slice/user@1001.service/x.service'), undefined);
  assert.is(made(applier, 'docker-a.scope/init'), 'n/box');
  assert.is(made(applier, 'docker-b.scope'), 'n/box');
  assert.is(made(applier, 'docker-c.scope'), undefined);
});

test('a socket unit that by Service= starts another unit is that unit, whatever is registered for its own name', () => {
  const applier = new MatchApplier(own.kernel.maps);
  const socketServices = new Map([
    ['front-of-all.socket', 'back.service'],
    ['nobody.socket', 'unknown.service'],
    ['door@.socket', 'back@%i.service'],
  ]);
  const program = compileMatch(
    registered({
      'n/front': { systemdUnit: 'front-of-all.service' },
      'n/nobody': { systemdUnit: 'nobody.service' },
      'n/door': { systemdUnit: 'door@*.service' },
      'n/back': { systemdUnit: 'back.service' },
      'n/back-at': { systemdUnit: 'back@*.service' },
      'n/plain': { systemdUnit: 'plain.service' },
    }),
    { ...FACTS, socketServices },
  );
  applier.apply(program, { gateways: [], failsafe: [] });
  for (const [unit, workload] of [
    ['front-of-all.service', 'n/front'],
    ['front-of-all.socket', 'n/back'],
    ['nobody.socket', undefined],
    ['door@one.socket', 'n/back-at'],
    ['door@one.service', 'n/door'],
    ['plain.socket', 'n/plain'],
  ] as const)
    assert.is(made(applier, `sockets.slice/${unit}`), workload, unit);
  assert.equal(
    applier.cgroupPatterns(`${own.cgroupPath}/sockets.slice/front-of-all.socket`),
    patternsOf('sockets.slice/front-of-all.socket'),
  );
});

/** Numbers of the patterns that the kernel found. */
function patternsOf(path: string): number[] {
  const label = own.kernel.maps.cgroup_label.get(statSync(join(own.cgroupDir, path)).ino)!;
  return label.patterns.slice(0, label.n_patterns).toSorted((a, b) => a - b);
}

test.run();
