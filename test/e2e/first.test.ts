/** The main job: two clients that look alike to every firewall, one may talk to redis, the other may not. */
import type { ChildProcess } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from './instance.ts';
import { run, serve } from './run-in.ts';
import { freePort, told } from './wait.ts';

const test = suite('main job');
let postern: Instance;
let redis: ChildProcess;
let port: number;

test.before(
  told(async () => {
    postern = await startInstance();
    port = await freePort();
    await postern.workload('shop/frontend', {
      labels: { app: 'frontend' },
      match: { systemdUnit: 'frontend.service' },
    });
    await postern.workload('shop/stranger', {
      labels: { app: 'stranger' },
      match: { systemdUnit: 'stranger.service' },
    });
    await postern.workload('shop/backend', {
      labels: { app: 'backend' },
      match: { process: { exe: '/usr/bin/redis-server', args: [`--port`, `${port}`] } },
    });
    redis = await serve(['redis-server', '--port', String(port), '--save', ''], /Ready to accept/, {
      cgroup: postern.makeCgroup('redis'),
    });
  }),
);

test.after(async () => {
  redis?.kill('SIGKILL');
  await postern?.destroy();
});

const ping = (unit: string) =>
  run(['redis-cli', '-p', String(port), 'ping'], { cgroup: postern.makeCgroup(unit), limitMs: 3_000 });

test('without a policy everybody may', async () => {
  assert.is((await ping('frontend.service')).stdout, 'PONG\n');
  assert.is((await ping('stranger.service')).stdout, 'PONG\n');
});

test('a label policy lets the frontend in and refuses the stranger at connect', async () => {
  await postern.apply({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { namespace: 'shop', name: 'backend' },
    spec: {
      endpointSelector: { matchLabels: { app: 'backend' } },
      ingress: [
        {
          fromEndpoints: [{ matchLabels: { app: 'frontend' } }],
          toPorts: [{ ports: [{ port: String(port), protocol: 'TCP' }] }],
        },
      ],
    },
  });
  assert.is((await ping('frontend.service')).stdout, 'PONG\n');
  const refused = await ping('stranger.service');
  assert.match(refused.stderr + refused.stdout, /Operation not permitted/);
});

test('the denial names both workloads, the process and the rule', async () => {
  const flow = await postern.flow('verdict=DROPPED', () => true);
  assert.is(flow.source.workload, 'shop/stranger');
  assert.is(flow.destination.workload, 'shop/backend');
  assert.is(flow.direction, 'INGRESS');
  assert.is(flow.dropReason, 'POLICY_DENIED');
  assert.is(flow.rule, 'default deny of cnp/shop/backend');
  assert.match(flow.source.process.exe, /redis-cli/);
  assert.is(flow.source.process.unit, 'stranger.service');
});

test.run();
