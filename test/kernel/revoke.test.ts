// @timeout 120
/** A policy that takes a right away ends the connections that had it, and no other. */
import type { ChildProcess } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { inNetns } from 'libbpf-ts';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetworkNamespaces } from '../../src/agent/network-namespaces.ts';
import { EXECUTORS } from '../../src/core/gateways.ts';
import { readCounters } from '../../src/datapath/counters.ts';
import { MatchApplier } from '../../src/datapath/match-applier.ts';
import { revoke as revokeAll } from '../../src/datapath/revoke.ts';
import { program } from '../core/match-world.ts';
import { run, serve } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { DENIED, FREE, FRIEND, FRIENDS, HOME, type Lab, openLab } from './lab.ts';

const test = suite('revoke');
let lab: Lab;
const held: ChildProcess[] = [];

test.before(
  told(async () => {
    lab = await openLab();
  }),
);

test.before.each(() => lab.policy(undefined));

test.after.each(async () => {
  for (const child of held.splice(0)) {
    const closed = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGKILL');
    await closed;
  }
});

test.after(async () => {
  await lab?.destroy();
});

for (const family of [4, 6] as const)
  test(`IPv${family}: connections to a peer that is denied now are aborted, those to a friend live`, async () => {
    const lost = await hold(1, DENIED[family], 7000);
    const kept = await hold(1, FRIENDS[family], 7000);
    lab.enforce();
    revoke();
    assert.equal(await state(lost), { alive: 0, aborted: 1, reset: 0 });
    assert.equal(await state(kept), { alive: 1, aborted: 0, reset: 0 });
  });

for (const family of [4, 6] as const)
  test(`IPv${family}: a peer that may not come in any more loses its connection, a friend does not`, async () => {
    await victim(7201);
    const lost = await hold(1, HOME[family], 7201, DENIED[family]);
    const kept = await hold(1, HOME[family], 7201, FRIENDS[family]);
    lab.enforce();
    revoke();
    await until('the peer was told', async () => (await state(lost)).reset === 1);
    assert.is((await state(kept)).alive, 1);
  });

for (const byList of [false, true])
  for (const family of [4, 6] as const)
    test(`IPv${family}: a connection that is bound to an interface is ended as any other (${byList ? 'by list' : 'by the program'})`, async () => {
      const config = lab.kernel.maps.config.get(0)!;
      lab.kernel.maps.config.set(0, { ...config, revoke_by_list: byList ? 1 : config.revoke_by_list });
      try {
        const bound = await hold(1, DENIED[family], 7000, undefined, lab.den, 'pt0');
        lab.enforce();
        revoke();
        assert.equal(await state(bound), { alive: 0, aborted: 1, reset: 0 });
      } finally {
        lab.kernel.maps.config.set(0, config);
      }
    });

for (const address of ['127.0.0.1', '::1', HOME[4], HOME[6]])
  test(`local connections (${address}) end for the ends that may not, whoever is the client`, async () => {
    await victim(7202, lab.free);
    await victim(7203, lab.den);
    new NetworkNamespaces(lab.kernel).refresh(); // which addresses are this host's own
    const out = await hold(1, address, 7202);
    const inwards = await hold(1, address, 7203, undefined, lab.free);
    const between = await hold(1, address, 7202, undefined, lab.free);
    lab.policy({ 0: 'allow', [FREE]: 'deny' });
    revoke();
    assert.equal(await state(out), { alive: 0, aborted: 1, reset: 0 });
    assert.equal(await state(inwards), { alive: 0, aborted: 1, reset: 0 });
    assert.is((await state(between)).alive, 1);
  });

test('connections are judged anew with every policy, and what is allowed again may come again', async () => {
  const first = await hold(1, DENIED[4], 7000);
  lab.policy({ 0: 'allow' });
  revoke();
  assert.is((await state(first)).alive, 1);
  lab.policy({ 0: 'deny', [FRIEND]: 'allow' });
  revoke();
  assert.is((await state(first)).aborted, 1);
  lab.policy({ 0: 'allow' });
  assert.is((await state(await hold(1, DENIED[4], 7000))).alive, 1);
});

test('what a failsafe program accepts is ahead of policy: it lives on, and can come anew', async () => {
  const sshd = `${lab.program('sink')}-failsafe`;
  copyFileSync(lab.program('sink'), sshd);
  new MatchApplier(lab.kernel.maps).apply(program({}), { gateways: [], failsafe: [sshd], executors: EXECUTORS });
  await victim(7204, lab.den, sshd);
  await victim(7205);
  const kept = await hold(1, HOME[4], 7204, DENIED[4]);
  const lost = await hold(1, HOME[4], 7205, DENIED[4]);
  lab.policy({ 0: 'deny' });
  revoke();
  await until('the peer was told', async () => (await state(lost)).reset === 1);
  assert.is((await state(kept)).alive, 1);
  assert.is((await state(await hold(1, HOME[4], 7204, DENIED[4]))).alive, 1);
});

test('the DHCP client hears its server whatever policy says, and only on its own port', async () => {
  const dhcp = `${lab.program('sink')}-dhcp`;
  copyFileSync(lab.program('sink'), dhcp);
  new MatchApplier(lab.kernel.maps).apply(program({}), { gateways: [], failsafe: [dhcp], executors: EXECUTORS });
  lab.policy({ 0: 'deny' });
  const heard = { client: '', other: '' };
  for (const [who, port] of [
    ['client', 68],
    ['other', 7206],
  ] as const) {
    const child = await lab.serve([dhcp, String(port)], /READY/, lab.den);
    held.push(child);
    child.stdout!.on('data', (text) => {
      heard[who] += text;
    });
  }
  const say = (port: number) =>
    run([lab.program('knock'), 'udp', DENIED[4], HOME[4], String(port), 'offer'], { netns: lab.peer.path });
  await say(7206);
  await until('the offer is heard on port 68', async () => {
    await say(68);
    return heard.client.includes('UDP offer');
  });
  assert.is(heard.other, '');
});

// The list is longer than what one read of the iterator holds.
for (const byList of [false, true])
  test(`of a thousand connections each one is ended once, and of a thousand others none (${byList ? 'by list' : 'by the program'})`, async () => {
    const config = lab.kernel.maps.config.get(0)!;
    lab.policy({ 0: 'allow' });
    const lost = await hold(1_000, DENIED[4], 7000);
    const kept = await hold(1_000, FRIENDS[4], 7000);
    const before = readCounters(lab.kernel.maps);
    lab.enforce();
    lab.kernel.maps.config.set(0, { ...config, revoke_by_list: byList ? 1 : config.revoke_by_list });
    try {
      revoke();
    } finally {
      lab.kernel.maps.config.set(0, { ...lab.kernel.maps.config.get(0)!, revoke_by_list: config.revoke_by_list });
    }
    const after = readCounters(lab.kernel.maps);
    assert.is(after.revoked - before.revoked, 1_000);
    assert.is(after.revokeFailed - before.revokeFailed, 0);
    assert.equal(await state(lost), { alive: 0, aborted: 1_000, reset: 0 });
    assert.is((await state(kept)).alive, 1_000);
  });

function revoke(): void {
  inNetns(lab.home.path, () => revokeAll(lab.kernel));
}

/** Connections of the workload, bound to `device`; with a source address those of the peer. */
async function hold(
  count: number,
  address: string,
  port: number,
  source?: string,
  cgroup = lab.den,
  device = '',
): Promise<ChildProcess> {
  const argv = [lab.program('hold'), String(count), address, String(port), source ?? '-', device];
  const child =
    source === undefined
      ? await lab.serve(argv, /READY/, cgroup)
      : await serve(argv, /READY/, { netns: lab.peer.path });
  held.push(child);
  return child;
}

async function victim(port: number, cgroup = lab.den, binary = lab.program('sink')): Promise<void> {
  held.push(await lab.serve([binary, String(port)], /READY/, cgroup));
}

async function state(child: ChildProcess): Promise<{ alive: number; aborted: number; reset: number }> {
  const answer = new Promise<string>((resolve) => {
    const listen = (text: string): void => {
      if (!text.startsWith('ALIVE')) return void child.stdout!.once('data', listen);
      resolve(text);
    };
    child.stdout!.once('data', listen);
  });
  child.stdin!.write('?\n');
  const [alive, aborted, reset] = (await answer).match(/\d+/g)!.map(Number) as [number, number, number];
  return { alive, aborted, reset };
}

test.run();
