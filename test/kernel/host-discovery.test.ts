/** A host policy that denies everything, in a network namespace that a process of the host made: it locks nobody out. */
import { copyFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PolicyCompiler } from '../../src/core/compile.ts';
import { RESERVED, toIdentityId } from '../../src/core/identity.ts';
import { hostIdentityLabels } from '../../src/core/label.ts';
import { parsePolicy } from '../../src/core/policy.ts';
import { MatchApplier } from '../../src/datapath/match-applier.ts';
import { PolicyApplier } from '../../src/datapath/policy-applier.ts';
import { RuleTable } from '../../src/datapath/rule-table.ts';
import { program } from '../core/match-world.ts';
import { run } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { DENIED, FRIEND, FRIENDS, type Lab, openLab } from './lab.ts';
import { isToDenied, type OwnNetns, openOwnNetns } from './own-netns.ts';

const test = suite('a host policy and what a namespace says by itself');
let lab: Lab;
let net: OwnNetns;
let nobody: string;
let dhcp: string;

test.before(
  told(async () => {
    lab = await openLab();
    nobody = lab.makeCgroup('nobody');
    dhcp = `${lab.program('egress')}-dhcp`;
    copyFileSync(lab.program('egress'), dhcp);
    new MatchApplier(lab.kernel.maps).apply(program({}), { gateways: [], failsafe: [dhcp] });
    const parsed = parsePolicy({
      apiVersion: 'cilium.io/v2',
      kind: 'CiliumClusterwideNetworkPolicy',
      metadata: { name: 'host' },
      spec: { nodeSelector: {}, ingress: [{}], egress: [{ toCIDR: [`${FRIENDS[6]}/128`] }] },
    });
    assert.ok(parsed.ok, JSON.stringify(parsed));
    const changed = new PolicyCompiler().update({
      identities: [{ id: toIdentityId(RESERVED.host), labels: hostIdentityLabels({}) }],
      cidrs: [{ id: FRIEND, prefix: `${FRIENDS[6]}/128` }],
      policies: [parsed.value],
      namespaces: {},
      clusterName: 'default',
    });
    const addresses = [{ prefix: `${FRIENDS[6]}/128`, identity: FRIEND }];
    new PolicyApplier(lab.kernel.maps, new RuleTable()).apply({ changed, addresses });
    lab.kernel.setHostPolicy(true);
    net = await openOwnNetns(lab, nobody);
  }),
);

test.after(async () => {
  net?.delete();
  await lab?.destroy();
});

test('its groups and its router', async () => {
  for (const tag of [/MLD\n/, /ND-133\n/]) await until(`${tag} has come`, () => net.hasSeen(tag));
  assert.equal(net.judged(), [], 'not a flow, and not a denial');
});

test('its neighbours: who is allowed is reached over IPv6, who is not is not', async () => {
  const frames = await net.send('tcp', FRIENDS[6], nobody);
  assert.ok(frames.some((frame) => frame.endsWith('ND-135')));
  assert.ok(frames.some((frame) => frame.includes(` ${FRIENDS[6]} `) && frame.includes('SYN-')));
  for (const mode of ['tcp', 'udp', 'raw-icmp', 'raw-discovery'])
    assert.equal((await net.send(mode, DENIED[6], nobody)).filter(isToDenied), [], mode);
});

for (const family of [4, 6] as const)
  test(`its DHCP client asks its server (IPv${family}), and no other program from that port does`, async () => {
    const ask = (binary: string) =>
      net.watch(() =>
        run([binary, 'dhcp', DENIED[family], DENIED[family], 'TAG-dhcp'], { cgroup: nobody, netns: net.own.path }),
      );
    assert.equal((await ask(lab.program('egress'))).filter(isToDenied), []);
    assert.ok((await ask(dhcp)).some(isToDenied));
  });

test.run();
