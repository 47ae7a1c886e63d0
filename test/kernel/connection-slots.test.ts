// @timeout 60
/** A connection whose place in `connection_slot` is taken stands in `connection`, and means the same; both are given back. */
import type { ChildProcess } from 'node:child_process';
import { inNetns } from 'libbpf-ts';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { revoke } from '../../src/datapath/revoke.ts';
import { told, until } from '../e2e/wait.ts';
import { DENIED, FRIENDS, type Lab, openLab } from './lab.ts';

const test = suite('connection-slots');
const COUNT = 20;
/** No socket of a test has such a cookie. */
const STRANGER = 2 ** 52;
let lab: Lab;
const held: ChildProcess[] = [];

test.before(
  told(async () => {
    lab = await openLab();
  }),
);

test.after.each(async () => {
  lab.policy(undefined);
  await end();
});

test.after(async () => {
  await lab?.destroy();
});

test('a place is taken by a connection, and free after it', async () => {
  const before = used();
  await hold(COUNT, FRIENDS[4]);
  assert.ok(used() >= before + COUNT);
  assert.is(spilled(), 0);
  await end();
  await until('the places are free', () => used() === before);
});

test('with every place taken connections are in the hash, are revoked there, and go', async () => {
  occupy();
  try {
    lab.policy(undefined);
    const lost = await hold(COUNT, DENIED[4]);
    const kept = await hold(COUNT, FRIENDS[4]);
    assert.is(entries(), 2 * COUNT);
    assert.is(spilled(), 2 * COUNT);
    lab.enforce();
    inNetns(lab.home.path, () => revoke(lab.kernel));
    await until('the connections are ended', async () => (await state(lost)) === 0);
    assert.is(await state(kept), COUNT);
    assert.is(entries(), COUNT);
    await end();
    await until('the hash is empty', () => entries() === 0);
    assert.is(spilled(), 0);
  } finally {
    leave();
  }
});

test('what came into the hash ends there, also when its place is free by then', async () => {
  occupy();
  try {
    await hold(COUNT, FRIENDS[4]);
  } finally {
    leave();
  }
  assert.is(entries(), COUNT);
  await hold(COUNT, FRIENDS[4]);
  assert.is(entries(), COUNT);
  await end();
  await until('the hash is empty', () => entries() === 0);
  assert.is(spilled(), 0);
});

test('with the hash full as well the socket itself holds the connection, and it is revoked', async () => {
  occupy();
  const { connection } = lab.kernel.maps;
  const junk = Array.from({ length: connection.maxEntries }, (_, i) => [STRANGER + i, NOTHING] as const);
  connection.updateBatch(junk);
  try {
    const lost = await hold(COUNT, DENIED[4]);
    assert.is(spilled(), 0);
    lab.enforce();
    inNetns(lab.home.path, () => revoke(lab.kernel));
    await until('the connections are ended', async () => (await state(lost)) === 0);
  } finally {
    connection.deleteBatch(junk.map(([cookie]) => cookie));
    leave();
  }
});

const NOTHING = {
  ...{ local_id: 0, remote_id: 0, rule: 0, gen: 0, tgid: 0, peer_tgid: 0, netns: 0, latest: 0 },
  ...{ port: 0, direction: 0, flags: 0, origin: 0, round: 0, pad: new Uint8Array(2) },
};

/** Every free place becomes a stranger's. */
function occupy(): void {
  const { connection_slot } = lab.kernel.maps;
  for (const [i, slot] of connection_slot.entries())
    if (slot.cookie === 0) connection_slot.set(i, { cookie: STRANGER + i, c: NOTHING, spilled: 0, pad: 0 });
}

function leave(): void {
  const { connection_slot } = lab.kernel.maps;
  for (const [i, slot] of connection_slot.entries())
    if (slot.cookie >= STRANGER) connection_slot.set(i, { ...slot, cookie: 0 });
}

function used(): number {
  return [...lab.kernel.maps.connection_slot.entries()].filter(([, { cookie }]) => cookie !== 0).length;
}

function spilled(): number {
  return [...lab.kernel.maps.connection_slot.entries()].reduce((sum, [, slot]) => sum + slot.spilled, 0);
}

function entries(): number {
  return [...lab.kernel.maps.connection.keys()].length;
}

async function hold(count: number, address: string): Promise<ChildProcess> {
  const child = await lab.serve([lab.program('hold'), String(count), address, '7000', '-', ''], /READY/, lab.den);
  held.push(child);
  return child;
}

async function end(): Promise<void> {
  for (const child of held.splice(0)) {
    const closed = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGKILL');
    await closed;
  }
}

/** How many live. */
async function state(child: ChildProcess): Promise<number> {
  const answer = new Promise<string>((resolve) => {
    const listen = (text: string): void => {
      if (!text.startsWith('ALIVE')) return void child.stdout!.once('data', listen);
      resolve(text);
    };
    child.stdout!.once('data', listen);
  });
  child.stdin!.write('?\n');
  return Number((await answer).match(/\d+/)![0]);
}

test.run();
