// @timeout 300
/** Fail static: the death of the agent changes no verdict, and its return leaves no gap. */
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from './instance.ts';
import { run, serve, start } from './run-in.ts';
import { freePort, told, until } from './wait.ts';

const ROUNDS = 20;
const test = suite('restart');
let postern: Instance;
let redis: ChildProcess;
let port: number;

const loop = (unit: string): Promise<ChildProcess> =>
  serve([process.execPath, join(import.meta.dirname, 'connect-loop.mjs'), String(port)], /looping/, {
    cgroup: postern.makeCgroup(unit),
  });
const ping = (unit: string) =>
  run(['redis-cli', '-p', String(port), 'ping'], { cgroup: postern.makeCgroup(unit), limitMs: 3_000 });

test.before(
  told(async () => {
    postern = await startInstance({ mode: 'split' });
    port = await freePort();
    for (const app of ['frontend', 'stranger', 'backend'])
      await postern.workload(`shop/${app}`, { labels: { app }, match: { systemdUnit: `${app}.service` } });
    await postern.apply({
      apiVersion: 'cilium.io/v2',
      kind: 'CiliumNetworkPolicy',
      metadata: { namespace: 'shop', name: 'backend' },
      spec: {
        endpointSelector: { matchLabels: { app: 'backend' } },
        ingress: [{ fromEndpoints: [{ matchLabels: { app: 'frontend' } }] }],
      },
    });
    redis = await serve(['redis-server', '--port', String(port), '--save', ''], /Ready to accept/, {
      cgroup: postern.makeCgroup('backend.service'),
    });
  }),
);

test.after(async () => {
  redis?.kill('SIGKILL');
  await postern?.destroy();
});

test(`${ROUNDS} rounds of kill -9 and start under continuous connects: no denied one gets through, no allowed one breaks`, async () => {
  const allowed = await loop('frontend.service');
  const denied = await loop('stranger.service');
  const held = start(['redis-cli', '-p', String(port)], { cgroup: postern.makeCgroup('frontend.service') });
  let answers = '';
  held.stdout!.setEncoding('utf8').on('data', (text) => {
    answers += text;
  });
  for (let round = 1; round <= ROUNDS; round++) {
    await postern.stop('SIGKILL');
    held.stdin!.write('PING\n');
    await until(`the held connection answers in round ${round}`, () => answers.split('PONG').length > round);
    await postern.start();
  }
  held.kill();
  const [ok, not] = await Promise.all([finish(allowed), finish(denied)]);
  assert.is(not.connected, 0, 'leaks');
  assert.is(not.refused.EPERM, not.tries);
  assert.is(ok.connected, ok.tries, `false denials: ${JSON.stringify(ok)}`);
  assert.ok(ok.tries > 1000 && not.tries > 1000, `too few connects to mean something: ${ok.tries}, ${not.tries}`);
});

test('with the agent dead a workload that starts gets its identity and its verdict', async () => {
  await postern.stop('SIGKILL');
  assert.is((await ping('frontend.service')).stdout, 'PONG\n');
  assert.match((await ping('stranger.service')).stderr, /Operation not permitted/);
  assert.match((await ping('late/stranger.service')).stderr, /Operation not permitted/, 'a cgroup made meanwhile');
  await postern.start();
});

test('an agent that starts while the control plane is away enforces the state on its disk', async () => {
  const { body } = await postern.agent('/v1/policy');
  assert.equal(body.policies, ['cnp/shop/backend']);
});

test('detach without --yes changes nothing', async () => {
  await postern.stop();
  const refused = await detach([]);
  assert.is(refused.code, 2);
  assert.match(refused.stderr, /--yes/);
  assert.match((await ping('stranger.service')).stderr, /Operation not permitted/);
});

test('detach --yes opens everything and removes every pin', async () => {
  const { code, stderr } = await detach(['--yes']);
  assert.is(code, 0, stderr);
  assert.not.ok(existsSync(postern.pinDir));
  assert.is((await ping('stranger.service')).stdout, 'PONG\n');
});

function detach(flags: readonly string[]) {
  return run([join(import.meta.dirname, '../../postern'), 'agent', 'detach', '--pin-dir', postern.pinDir, ...flags]);
}

async function finish(
  child: ChildProcess,
): Promise<{ tries: number; connected: number; refused: Record<string, number> }> {
  let output = '';
  child.stdout!.on('data', (text) => {
    output += text;
  });
  child.stdin!.end();
  await until('the loop prints its counts', () => output.includes('}'));
  return JSON.parse(output.slice(output.indexOf('{')));
}

test.run();
