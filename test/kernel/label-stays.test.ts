// @timeout 120
/** A label stays: whatever the process does, whatever is registered afterwards, whoever of the agents looks. */
import { chownSync, rmdirSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compileMatch } from '../../src/core/match-program.ts';
import type { MatchClause } from '../../src/core/workload.ts';
import { program, registered } from '../core/match-world.ts';
import { told } from '../e2e/wait.ts';
import { cgroupOf, type GroveLab, openGrove } from './grove.ts';

const test = suite('a label stays');
const NOBODY = 65534;
let lab: GroveLab;
const started: string[] = [];

test.before(
  told(async () => {
    lab = await openGrove(['a', 'b']);
  }),
);
test.after.each(async () => {
  for (const name of started.splice(0).reverse()) await lab.stop(name);
});
test.after(async () => {
  await lab?.destroy();
});

type Table = Record<string, MatchClause>;

/** Registers these alone, in this order. */
function register(table: Table): void {
  lab.apply(program(table));
}

async function start(...sprout: Parameters<GroveLab['start']>): Promise<void> {
  await lab.start(...sprout);
  started.push(sprout[0].name);
}

/** The workload of the process, which must be that of its listening socket. */
function who(name: string, table: Table): string | undefined {
  const { process, socket } = lab.who(name);
  assert.is(socket, process, `socket of ${name}`);
  const found = registered(table).find(({ identity }) => identity === process);
  return found && `${found.namespace}/${found.name}`;
}

/** All that may look at a process again; after each it must be who it was. */
async function everyLook(name: string, table: Table, workload: string | undefined): Promise<void> {
  assert.is(who(name, table), workload, 'at once');
  await lab.tell(name, 'bind');
  assert.is(who(name, table), workload, 'with a new socket');
  const more = { ...table, 'z/unrelated': { cgroup: 'nowhere' } };
  register(more);
  assert.is(who(name, more), workload, 'after another registration');
  register(table);
  assert.is(who(name, table), workload, 'after it is gone');
  lab.restart();
  assert.is(who(name, table), workload, 'seen by a new agent');
  lab.restart({ loads: true });
  assert.is(who(name, table), workload, 'seen by a new agent with new programs');
  await lab.tell(name, 'again');
  assert.is(who(name, table), workload, 'after an exec');
}

test('a process that moves itself out of its unit is what it was, and so is its child', async () => {
  const table = { 'a/in': { systemdUnit: 'in.service' } };
  register(table);
  await start({ name: 'mover', how: 'place', program: 'a', cgroup: 'in.service' });
  await lab.tell('mover', 'move', 'out');
  await start({ name: 'child', parent: 'mover', how: 'start', program: 'b' });
  await start({ name: 'fork', parent: 'mover', how: 'fork' });
  for (const name of ['mover', 'child', 'fork']) await everyLook(name, table, 'a/in');
});

test('into the unit of another workload it takes nothing but its own label, also when that is registered later', async () => {
  const table = { 'a/in': { cgroup: cgroupOf(lab, 'in2') }, 'a/other': { systemdUnit: 'other.service' } };
  register(table);
  await start({ name: 'mover', how: 'place', program: 'a', cgroup: 'in2' });
  await lab.tell('mover', 'move', 'other.service');
  await everyLook('mover', table, 'a/in');
  await lab.tell('mover', 'move', 'later.service');
  await everyLook('mover', { ...table, 'a/later': { systemdUnit: 'later.service' } }, 'a/in');
});

test('a label of its exec that a unit would outrank does not give way to one where it moved itself', async () => {
  const table = { 'a/user': { process: { user: String(NOBODY) } }, 'a/unit': { systemdUnit: 'unit.service' } };
  register(table);
  await start({ name: 'admin', how: 'place', program: 'a', cgroup: 'free' });
  await start({ name: 'user', how: 'place', program: 'a', cgroup: 'free', uid: NOBODY });
  const path = lab.makeCgroup('unit.service');
  for (const file of ['cgroup.procs']) chownSync(`${path}/${file}`, NOBODY, NOBODY);
  chownSync(`${lab.cgroupDir}/cgroup.procs`, NOBODY, NOBODY);
  await lab.tell('user', 'move', 'unit.service');
  await everyLook('user', table, 'a/user');
  await everyLook('admin', table, undefined);
});

test('its unit may end meanwhile', async () => {
  const table = { 'a/in': { systemdUnit: 'short.service' }, 'a/other': { systemdUnit: 'other.service' } };
  register(table);
  await start({ name: 'mover', how: 'place', program: 'a', cgroup: 'short.service' });
  await lab.tell('mover', 'move', 'other.service');
  rmdirSync(`${lab.cgroupDir}/short.service`);
  await everyLook('mover', table, 'a/in');
});

test('whom somebody without a label takes out of a unit is not of it any more', async () => {
  const table = { 'a/in': { systemdUnit: 'in3.service' } };
  register(table);
  await start({ name: 'service', how: 'place', program: 'a', cgroup: 'in3.service' });
  await start({ name: 'login', parent: 'service', how: 'place', program: 'b', cgroup: 'session-1.scope' });
  await everyLook('service', table, 'a/in');
  await everyLook('login', table, undefined);
});

test('a claim that any local user could make never takes a process from one that is not, whatever its priority', async () => {
  const table = { 'a/unit': { systemdUnit: 'real.service' }, 'a/claim': { process: { exe: lab.path('b') } } };
  const loud = (): void => {
    const list = registered(table).map((one) => (one.name === 'claim' ? { ...one, priority: 1000 } : one));
    lab.apply(compileMatch(list, { uids: new Map(), paths: new Map() }));
  };
  loud();
  await start({ name: 'service', how: 'place', program: 'a', cgroup: 'real.service' });
  await start({ name: 'claims', parent: 'service', how: 'start', program: 'b' });
  await start({ name: 'placed', how: 'place', program: 'b', cgroup: 'real.service' });
  await start({ name: 'free', how: 'place', program: 'b', cgroup: 'free' });
  for (const look of [() => {}, loud, () => lab.restart()]) {
    look();
    for (const name of ['service', 'claims', 'placed']) assert.is(who(name, table), 'a/unit', name);
    assert.is(who('free', table), 'a/claim');
  }
  // and the other way round: who is placed in a unit is its service, whatever it claimed
  writeFileSync(`${lab.makeCgroup('real.service')}/cgroup.procs`, String(lab.pid('free')));
  await lab.tell('free', 'bind');
  assert.is(who('free', table), 'a/unit');
});

test('by executing another program no process gets out of its label', async () => {
  const table = {
    'a/exec': { process: { exe: lab.path('a'), user: '0' } },
    'a/user': { process: { user: '0', args: ['-x'] } },
  };
  register(table);
  await start({ name: 'parent', how: 'place', program: 'a', cgroup: 'free' });
  await start({ name: 'child', parent: 'parent', how: 'start', program: 'b' });
  await start({ name: 'grandchild', parent: 'child', how: 'start', program: 'b', uid: NOBODY });
  for (const name of ['parent', 'child', 'grandchild']) await everyLook(name, table, 'a/exec');
});

test('a registration that goes takes its label from all, and what they meet where they are counts', async () => {
  const table = { 'a/in': { systemdUnit: 'in4.service' }, 'a/there': { cgroup: cgroupOf(lab, 'there') } };
  register(table);
  await start({ name: 'mover', how: 'place', program: 'a', cgroup: 'in4.service' });
  await lab.tell('mover', 'move', 'there');
  assert.is(who('mover', table), 'a/in');
  const { 'a/in': _, ...rest } = table;
  register(rest);
  assert.is(who('mover', rest), 'a/there');
});

test.run();
