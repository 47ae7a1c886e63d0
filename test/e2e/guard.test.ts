/** Packet sockets: guarded at once where an enforced workload may open them, and nowhere else. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { inNetns, netnsCookie } from 'libbpf-ts/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from './instance.ts';
import { createNetns, type Netns } from './netns.ts';
import { cnp } from './policies.ts';
import { serve } from './run-in.ts';
import { told, until } from './wait.ts';

const test = suite('packet guard');
let postern: Instance;
let netns: Netns;

test.before(
  told(async () => {
    postern = await startInstance();
    netns = createNetns(`pt-${postern.name}-g`);
  }),
);

test.after(async () => {
  await postern?.destroy();
  netns?.delete();
});

test('where an enforced workload holds CAP_NET_RAW its interfaces and its cgroup are guarded, the cgroup of one without a policy is not', async () => {
  for (const name of ['plain', 'raw'])
    await postern.workload(`shop/${name}`, {
      labels: { app: name },
      match: { cgroup: `${postern.cgroupPath}/${name}` },
    });
  await postern.apply(cnp('raw', { egress: [{}] }));
  const sleeper = (name: string) =>
    serve(['sh', '-c', 'echo ready; exec sleep 1000'], /ready/, {
      cgroup: postern.makeCgroup(name),
      netns: netns.path,
    });
  const plain = await sleeper('plain');
  const raw = await sleeper('raw');
  const cookie = inNetns(netns.path, netnsCookie);
  const cgroupOf = (name: string) => statSync(join(postern.cgroupDir, name)).ino;
  const pins = () => readdirSync(join(postern.pinDir, 'links'));
  await until('the cgroup is guarded', () => pins().includes(`on_setsockopt_${cgroupOf('raw')}`));
  await until('the interfaces are guarded', () =>
    pins().some((pin) => pin.startsWith(`guard_egress_${cookie}_`)),
  ).catch((error) => {
    console.error(cookie, pins(), postern.log());
    throw error;
  });
  assert.not.ok(pins().includes(`on_setsockopt_${cgroupOf('plain')}`));
  netns.ip('link add pt9 type veth peer name pt8');
  await until('new interfaces are guarded too', () => pins().filter((pin) => pin.includes(`_${cookie}_`)).length === 3);
  netns.ip('link del pt9');
  await until('what is gone leaves nothing', () => pins().filter((pin) => pin.includes(`_${cookie}_`)).length === 1);
  for (const child of [plain, raw]) {
    const closed = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGKILL');
    await closed;
  }
});

test.run();
