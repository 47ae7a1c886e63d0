/** Many prefixes that come and go at once end where one compilation of the last world ends. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cidrPrefixes } from '../../src/core/cidr-prefixes.ts';
import { PolicyCompiler } from '../../src/core/compile.ts';
import { localIdentity, workloadIdentity } from '../../src/core/identity.ts';
import { workloadLabels } from '../../src/core/label.ts';
import { type Policy, parsePolicy } from '../../src/core/policy.ts';
import type { World } from '../../src/core/world.ts';

const test = suite('many prefixes');

function policy(name: string, sections: object): Policy {
  const parsed = parsePolicy({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { namespace: 'a', name },
    spec: { endpointSelector: { matchLabels: { app: 'web' } }, ...sections },
  });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  return parsed.value;
}

const list = (network: string, count: number) => Array.from({ length: count }, (_, i) => `${network}.${i}.0/24`);
const WIDE = policy('wide', {
  ingress: [{ fromCIDRSet: [{ cidr: '10.0.0.0/8', except: ['10.1.0.0/16', '10.2.3.0/24'] }] }],
  egress: [{ toEntities: ['world'], toPorts: [{ ports: [{ port: '443', protocol: 'TCP' }] }] }],
});
const MANY = policy('many', {
  ingress: [{ fromCIDR: [...list('10.0', 60), ...list('10.1', 60), ...list('10.2', 9)] }],
});
const DENIED = policy('denied', {
  ingressDeny: [{ fromCIDR: ['10.0.0.0/19', '10.1.4.0/22'] }],
  egressDeny: [{ toCIDR: list('10.2', 20) }],
});

const numbers = new Map<string, number>();
function worldOf(policies: readonly Policy[]): World {
  const cidrs = cidrPrefixes(policies).map((prefix) => {
    if (!numbers.has(prefix)) numbers.set(prefix, numbers.size + 1);
    return { id: localIdentity(numbers.get(prefix)!), prefix };
  });
  const identities = [{ id: workloadIdentity(300), labels: workloadLabels('a', { app: 'web' }) }];
  return { identities, cidrs, policies, namespaces: {}, clusterName: 'default' };
}

const text = (compiler: PolicyCompiler): string =>
  JSON.stringify([...compiler.all().values()].map(({ ingress, egress }) => [[...ingress.peers], [...egress.peers]]));

test('in every order of three policies', () => {
  const compiler = new PolicyCompiler();
  const all = [WIDE, MANY, DENIED];
  for (const now of [1, 3, 7, 5, 4, 6, 2, 3, 1, 5, 7, 0, 6, 7].map((bits) => all.filter((_, i) => bits & (1 << i)))) {
    compiler.update(worldOf(now));
    const fresh = new PolicyCompiler();
    fresh.update(worldOf(now));
    assert.is(text(compiler), text(fresh), now.map(({ name }) => name).join());
  }
});

test('a rule for each of 30 000 prefixes, and one rule for all, say the same', () => {
  // Minutes, past the time of this file, if each class of peers walks over every rule.
  const prefixes = Array.from({ length: 30_000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
  const peers = [[...prefixes.map((prefix) => ({ fromCIDR: [prefix] }))], [{ fromCIDR: prefixes }]].map((ingress) => {
    const compiler = new PolicyCompiler();
    compiler.update(worldOf([policy('list', { ingress })]));
    return [...compiler.all().values()][0]!.ingress.peers;
  });
  assert.is(peers[0]!.size, prefixes.length + 1);
  assert.equal([...peers[0]!.keys()], [...peers[1]!.keys()]);
  for (const [id, { fallback }] of peers[0]!) {
    if (fallback.verdict === peers[1]!.get(id)!.fallback.verdict) continue;
    assert.unreachable(`identity ${id}`);
  }
});

test.run();
