/**
 * The kernel's own answers to ICMP requests under a host policy. They leave through sockets of the root cgroup, so one
 * program is attached there for a moment: its policy denies one type from one address, and nothing else.
 */
import type { BpfLink } from 'libbpf-ts';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PolicyCompiler } from '../../src/core/compile.ts';
import { localIdentity, RESERVED, toIdentityId } from '../../src/core/identity.ts';
import { hostIdentityLabels } from '../../src/core/label.ts';
import { parsePolicy } from '../../src/core/policy.ts';
import { PolicyApplier } from '../../src/datapath/policy-applier.ts';
import { RuleTable } from '../../src/datapath/rule-table.ts';
import { createNetns, joinNetns, type Netns } from '../e2e/netns.ts';
import { type Puppet, startPuppet } from '../e2e/puppet.ts';
import { told } from '../e2e/wait.ts';
import { type OwnKernel, openKernel } from './own-kernel.ts';

const test = suite('ICMP that the kernel answers');
const PEER = '192.0.2.2';
let own: OwnKernel;
let link: BpfLink | undefined;
let inside: Netns;
let outside: Netns;
let there: Puppet;
let id = 0;

const POLICY = {
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumClusterwideNetworkPolicy',
  metadata: { name: 'host' },
  spec: {
    nodeSelector: {},
    enableDefaultDeny: { ingress: false },
    ingressDeny: [{ fromCIDR: [PEER], icmps: [{ fields: [{ type: 'Timestamp' }] }] }],
  },
};

async function answered(type: number, answer: number, ms = 5_000): Promise<string> {
  assert.is(await there.tell(`icmp - 192.0.2.1 ${type} ${++id}`), 'sent');
  return there.tell(`heard ${answer} ${id} ${ms}`);
}

test.before(
  told(async () => {
    own = openKernel();
    inside = createNetns(`pt-${process.pid}-in`);
    outside = createNetns(`pt-${process.pid}-out`);
    joinNetns(inside, ['192.0.2.1/24'], outside, [`${PEER}/24`]);
    there = startPuppet({ netns: outside.path });
    assert.is(await there.tell('hear 4'), 'ok');
  }),
);

test.after(async () => {
  link?.destroy();
  there?.end();
  await own?.destroy();
  inside?.delete();
  outside?.delete();
});

test('a type that may not come in is not answered, and all else is', async () => {
  assert.is(await answered(13, 14), 'yes', 'before');
  const parsed = parsePolicy(POLICY);
  assert.ok(parsed.ok, JSON.stringify(parsed));
  const compiler = new PolicyCompiler();
  const changed = compiler.update({
    identities: [{ id: toIdentityId(RESERVED.host), labels: hostIdentityLabels({}) }],
    cidrs: [{ id: localIdentity(1), prefix: `${PEER}/32` }],
    policies: [parsed.value],
    namespaces: {},
    clusterName: 'default',
  });
  const applier = new PolicyApplier(own.kernel.maps, new RuleTable());
  applier.apply({ changed, addresses: [{ prefix: `${PEER}/32`, identity: localIdentity(1) }] });
  own.kernel.setHostPolicy(true);
  link = own.kernel.programs.program('on_egress').attachCgroup(own.mount);
  assert.is(await answered(8, 0), 'yes');
  assert.is(await answered(13, 14, 300), 'no');
  own.kernel.setHostPolicy(false);
  assert.is(await answered(13, 14), 'yes', 'without a host policy');
  link.destroy();
  link = undefined;
});

test.run();
