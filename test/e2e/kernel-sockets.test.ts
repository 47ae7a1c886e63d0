/** Sockets of the kernel itself (NFS, CIFS, iSCSI, tunnels): nobody's, whoever had them opened, and never ended. By a vxlan. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hasKernelOption } from '../kernel/kernel-config.ts';
import { skip } from '../skip.ts';
import { askTcp, askUdp } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { createNetns, joinNetns, type Netns } from './netns.ts';
import { cnp, only } from './policies.ts';
import { run, serve } from './run-in.ts';
import { told } from './wait.ts';

const test = suite('sockets of the kernel');
let postern: Instance;
let near: Netns;
let far: Netns;
let echo: ChildProcess;

const TUNNEL = 'type vxlan id 7 dstport 4789';
const mounter = () => ({ cgroup: postern.makeCgroup('mounter.service'), netns: near.path });
/** Through the tunnel, from nobody's process. */
const through = () => askTcp('198.51.100.2', 7001, { netns: near.path });

const NAME =
  'a tunnel that an enforced workload has set up goes on: its socket is not that workload’s, and no policy of it ends it';
if (!hasKernelOption('VXLAN')) skip(test, NAME, 'kernel: CONFIG_VXLAN is off');
else {
  test.before(
    told(async () => {
      postern = await startInstance();
      near = createNetns(`pt-${postern.name}-near`);
      far = createNetns(`pt-${postern.name}-far`);
      joinNetns(near, ['192.0.2.1/24'], far, ['192.0.2.2/24']);
      far.ip(`link add tunnel ${TUNNEL} local 192.0.2.2 remote 192.0.2.1`);
      far.ip('addr add 198.51.100.2/24 dev tunnel');
      far.ip('link set tunnel up');
      const words = [process.execPath, join(import.meta.dirname, 'echo.mjs'), 'tcp:7001', 'udp:7001'];
      echo = await serve(words, /ready/, { netns: far.path });
      await postern.workload('shop/mounter', { labels: { app: 'mounter' }, match: { systemdUnit: 'mounter.service' } });
    }),
  );
  test.after(async () => {
    echo?.kill('SIGKILL');
    await postern?.destroy();
    near?.delete();
    far?.delete();
  });

  test(NAME, async () => {
    const script = `ip link add tunnel ${TUNNEL} local 192.0.2.1 remote 192.0.2.2 && ip addr add 198.51.100.1/24 dev tunnel && ip link set tunnel up`;
    const { code, stderr } = await run(['sh', '-c', script], mounter());
    assert.is(code, 0, stderr);
    assert.is(await through(), 'echo');
    await only(
      postern,
      cnp('mounter', { egress: [], egressDeny: [{ toEntities: ['all'] }], ingressDeny: [{ fromEntities: ['all'] }] }),
    );
    assert.is(await askUdp('192.0.2.2', 7001, mounter()), 'EPERM', 'the workload itself may not');
    assert.is(await through(), 'echo');
    await run(['sh', '-c', 'ip link set tunnel down && ip link set tunnel up'], mounter());
    assert.is(await through(), 'echo', 'opened under the policy');
  });
}

test.run();
