/** Host policies: nodeSelector protects the processes of a host that are no workload, and nobody else. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { countOwn, ownAddresses } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { createNetns, joinNetns, type Netns } from './netns.ts';
import { only } from './policies.ts';
import { type Puppet, startPuppet } from './puppet.ts';
import { told } from './wait.ts';

const test = suite('host policy');
const HERE = '192.0.2.1';
const THERE = '192.0.2.2';
let postern: Instance;
let inside: Netns;
let outside: Netns;
let host: Puppet;
let worker: Puppet;
let there: Puppet;

/** The host of the instance has tier=db. */
const policy = (sections: object, tier = 'db') => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumClusterwideNetworkPolicy',
  metadata: { name: 'host' },
  spec: { nodeSelector: { matchLabels: { tier } }, ...sections },
});
const tcp = (from: Puppet, address: string, port: number, ms = 5_000) => from.tell(`tcp - ${address} ${port} ${ms}`);
const SHORT = 300;

test.before(
  told(async () => {
    postern = await startInstance();
    inside = createNetns(`pt-${postern.name}-in`);
    outside = createNetns(`pt-${postern.name}-out`);
    joinNetns(inside, [`${HERE}/24`], outside, [`${THERE}/24`]);
    await postern.workload('shop/worker', { labels: { app: 'worker' }, match: { systemdUnit: 'worker.service' } });
    const before = await countOwn(postern);
    host = startPuppet({ netns: inside.path, cgroup: postern.makeCgroup('nobody') });
    worker = startPuppet({ netns: inside.path, cgroup: postern.makeCgroup('worker.service') });
    there = startPuppet({ netns: outside.path });
    await ownAddresses(postern, before + 2);
    for (const port of [22, 80]) assert.is(await host.tell(`listen tcp ${HERE} ${port}`), 'ok');
    assert.is(await host.tell('listen udp 127.0.0.1 5300'), 'ok');
    assert.is(await host.tell('listen tcp 127.0.0.1 80'), 'ok');
    assert.is(await worker.tell(`listen tcp ${HERE} 8000`), 'ok');
    assert.is(await there.tell(`listen tcp ${THERE} 443`), 'ok');
  }),
);

test.after(async () => {
  for (const puppet of [host, worker, there]) puppet?.end();
  await postern?.destroy();
  inside?.delete();
  outside?.delete();
});

test("Cilium's demo: the cluster reaches every port of the host, all others SSH", async () => {
  const ingress = [
    { fromEntities: ['cluster'] },
    { toPorts: [{ ports: [{ port: '22', protocol: 'TCP' }] }] },
    { icmps: [{ fields: [{ type: 'EchoRequest', family: 'IPv4' }] }] },
  ];
  await only(postern, policy({ ingress }));
  assert.is(await tcp(there, HERE, 22), 'echo');
  assert.is(await tcp(there, HERE, 80, SHORT), 'silence');
  assert.is(await tcp(worker, HERE, 80), 'echo', 'a workload of this cluster');
  assert.is(await tcp(host, THERE, 443), 'echo', 'egress is not restricted');
  assert.is(await tcp(there, HERE, 8000), 'echo', 'a workload is not the host');
  const flow = await postern.flow('verdict=DROPPED&direction=INGRESS&protocol=TCP', () => true);
  assert.is(flow.rule, 'default deny of ccnp/host');
  assert.is(flow.destination.identity, 1);
});

test('egress: what is not named is EPERM for the host, and nothing changes for a workload', async () => {
  await only(postern, policy({ egress: [{ toCIDR: ['198.51.100.0/24'] }] }));
  assert.is(await tcp(host, THERE, 443), 'EPERM');
  assert.is(await tcp(host, HERE, 8000), 'EPERM', 'a workload on the same host');
  assert.is(await tcp(worker, THERE, 443), 'echo');
  assert.is(await tcp(there, HERE, 80), 'echo', 'answers are not egress');
  assert.is(await host.tell(`udp - ${THERE} 53 ${SHORT}`), 'EPERM');
  await only(postern, policy({ egress: [{ toEndpoints: [{ matchLabels: { app: 'worker' } }] }] }));
  assert.is(await tcp(host, HERE, 8000), 'echo');
});

test('the host does not police itself, whatever the policy', async () => {
  await only(postern, policy({ ingress: [{}], egress: [{}], ingressDeny: [{ fromEntities: ['all'] }] }));
  assert.is(await tcp(host, '127.0.0.1', 80), 'echo');
  assert.is(await host.tell('udp - 127.0.0.1 5300 5000'), 'echo');
  assert.is(await tcp(worker, HERE, 80), 'EPERM');
});

test('a policy for other hosts, and none, leave the host alone', async () => {
  await only(postern, policy({ ingress: [{}], egress: [{}] }, 'web'));
  assert.is(await tcp(host, THERE, 443), 'echo');
  assert.is(await tcp(there, HERE, 80), 'echo');
  await only(postern, policy({ ingress: [{}], egress: [{}] }));
  assert.is(await tcp(host, THERE, 443), 'EPERM');
  await only(postern);
  assert.is(await tcp(host, THERE, 443), 'echo');
  assert.is(await tcp(there, HERE, 80), 'echo');
});

test('endpointSelector never means the host', async () => {
  const spec = { endpointSelector: {}, ingress: [{}], egress: [{}] };
  const { spec: _, ...head } = policy({});
  await only(postern, { ...head, spec });
  assert.is(await tcp(host, THERE, 443), 'echo');
  assert.is(await tcp(there, HERE, 80), 'echo');
  assert.is(await tcp(worker, THERE, 443), 'EPERM');
});

test.run();
