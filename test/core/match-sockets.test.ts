import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { decideProcess } from '../../src/core/match-decide.ts';
import { FACTS, program } from './match-world.ts';

const test = suite('socket units that start another unit');

const SERVICES = new Map([
  ['front.socket', 'backend.service'],
  ['front@.socket', 'worker@%i.service'],
  ['many@.socket', 'one.service'],
]);
const rows: [unit: string, cgroup: string, isIt: boolean][] = [
  ['backend.service', 'front.socket', true],
  ['back*', 'front.socket', true],
  ['front.service', 'front.socket', false],
  ['front.socket', 'front.socket', true],
  ['front.service', 'front.service', true],
  ['backend.service', 'backend.socket', true],
  ['worker@7.service', 'front@7.socket', true],
  ['worker@7.service', 'front@8.socket', false],
  ['worker@*.service', 'front@8.socket', true],
  ['front@8.service', 'front@8.socket', false],
  ['one.service', 'many@3.socket', true],
  ['backend.service', 'x.scope/front.socket', false],
];
for (const [unit, cgroup, isIt] of rows)
  test(`${cgroup} is ${isIt ? '' : 'not '}what ${unit} names`, () => {
    const compiled = program({ 'n/a': { systemdUnit: unit } }, { ...FACTS, socketServices: SERVICES });
    const { clause } = decideProcess(compiled, { args: [], uid: 0, cgroup: `/system.slice/${cgroup}` });
    assert.is(clause?.workload, isIt ? 'n/a' : undefined);
  });

test.run();
