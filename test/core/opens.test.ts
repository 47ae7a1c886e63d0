import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PolicyCompiler } from '../../src/core/compile.ts';
import { workloadIdentity } from '../../src/core/identity.ts';
import { workloadLabels } from '../../src/core/label.ts';
import { declaredOpens, joinOpens, policyOpens } from '../../src/core/opens.ts';
import { parsePolicy } from '../../src/core/policy.ts';
import { validateWorkload } from '../../src/core/workload.ts';

const test = suite('opens');
const body = (opens: unknown, more = {}) => ({
  labels: { app: 'a' },
  match: { systemdUnit: 'a.service' },
  opens,
  ...more,
});

test('takes names and raw protocols, by name and by number', () => {
  const opens = ['icmp', 'mptcp', 'udplite', 'tun', 'packet', { raw: ['vrrp', 89] }];
  const result = validateWorkload('a', 'b', body(opens));
  assert.ok(result.ok);
  assert.equal(result.value.opens, opens);
  assert.equal(declaredOpens(result.value.opens).raw, [89, 112]);
});

const REFUSED: readonly (readonly [what: string, opens: unknown, path: string, message: RegExp])[] = [
  ['a word', 'icmp', '/opens', /^must be a list/],
  ['nothing', [], '/opens', /^must be a list/],
  ['an unknown name', ['icmp', 'bpf'], '/opens/1', /^"bpf" is nothing that can be opened$/],
  ['a protocol as a name', ['vrrp'], '/opens/0', /^a raw socket of "vrrp" is opened by \{"raw":\["vrrp"\]\}$/],
  ['a name twice', ['tun', 'tun'], '/opens/1', /^tun is there twice$/],
  ['raw without protocols', ['raw'], '/opens/0', /^raw sockets are opened by protocol: \{"raw":\["vrrp",112\]\}$/],
  ['no protocols', [{ raw: [] }], '/opens/0/raw', /^must be a list of 1 to 16 protocols$/],
  ['an unknown protocol', [{ raw: ['carp'] }], '/opens/0/raw/0', /^must be an IP protocol/],
  ['a protocol that is none', [{ raw: [256] }], '/opens/0/raw/0', /^must be an IP protocol/],
  ['protocol 0', [{ raw: [0] }], '/opens/0/raw/0', /^must be an IP protocol/],
  ['a protocol twice', [{ raw: ['vrrp', 112] }], '/opens/0/raw/1', /^protocol 112 is there twice$/],
  ['raw in two places', [{ raw: [112] }, { raw: [89] }], '/opens/1', /^raw is there twice$/],
  ['an unknown field', [{ rawSockets: [112] }], '/opens/0/rawSockets', /^unknown field "rawSockets"/],
];
for (const [what, opens, path, message] of REFUSED)
  test(`refuses ${what}`, () => {
    const result = validateWorkload('a', 'b', body(opens));
    if (result.ok) throw new Error('accepted');
    const found = result.errors.find((error) => error.path === path);
    assert.ok(found, JSON.stringify(result.errors));
    assert.match(found.message, message);
    assert.is(result.status, 400);
  });

test('has no meaning beside addresses', () => {
  const result = validateWorkload('a', 'b', { labels: {}, addresses: ['192.0.2.1'], opens: ['icmp'] });
  if (result.ok) throw new Error('accepted');
  assert.match(result.errors[0]!.message, /^has no meaning beside addresses/);
});

test('what is not judged, or hears others, is warned of', () => {
  const warned = (opens: unknown) => {
    const result = validateWorkload('a', 'b', body(opens));
    assert.ok(result.ok);
    return result.warnings ?? [];
  };
  assert.equal(warned(['icmp', 'mptcp', 'udplite', { raw: ['vrrp'] }]), []);
  assert.match(warned(['packet']).join(), /not judged, it can send to anybody/);
  assert.match(warned(['tun']).join(), /the host forwards it/);
  assert.match(warned([{ raw: [6] }]).join(), /hears what allowed peers send to other programs/);
  assert.match(warned([{ raw: [255] }]).join(), /its own IP headers/);
});

/** What the policy of app=a opens. */
function opened(spec: object, mode?: string) {
  const parsed = parsePolicy({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { namespace: 'a', name: 'a', ...(mode && { annotations: { 'postern.dev/mode': mode } }) },
    spec: { endpointSelector: { matchLabels: { app: 'a' } }, ...spec },
  });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  const compiler = new PolicyCompiler();
  const id = workloadIdentity(300);
  compiler.update({
    identities: [{ id, labels: workloadLabels('a', { app: 'a' }) }],
    cidrs: [],
    policies: [parsed.value],
    namespaces: {},
    clusterName: 'default',
  });
  const { names, raw, sockets } = policyOpens(compiler.all().get(id)!);
  return [...[...names].sort(), ...raw, ...(sockets ? ['sockets'] : [])].join(' ');
}

const tcp = { toPorts: [{ ports: [{ port: '443', protocol: 'TCP' }] }] };
const BY_POLICY: readonly (readonly [what: string, spec: object, opens: string, mode?: string])[] = [
  ['ports only, both ways', { egress: [tcp], ingress: [tcp] }, ''],
  ['ports only, outwards: what comes in is nobody’s business', { egress: [tcp] }, 'icmp'],
  ['ports only, inwards: what goes out is nobody’s business', { ingress: [tcp] }, 'icmp packet tun'],
  ['ICMP', { egress: [tcp, { icmps: [{ fields: [{ type: 8 }] }] }], ingress: [tcp] }, 'icmp'],
  ['ICMPv6', { ingress: [{ icmps: [{ fields: [{ family: 'IPv6', type: 128 }] }] }], egress: [tcp] }, 'icmp'],
  ['ICMP denied', { egress: [tcp], egressDeny: [{ icmps: [{ fields: [{ type: 8 }] }] }], ingress: [tcp] }, ''],
  ['VRRP', { egress: [{ toPorts: [{ ports: [{ port: '0', protocol: 'VRRP' }] }] }], ingress: [tcp] }, '112'],
  ['a peer without ports', { egress: [{ toEntities: ['host'] }], ingress: [tcp] }, 'icmp'],
  ['a rule that is empty, outwards', { egress: [{}], ingress: [tcp] }, ''],
  ['everything to everybody', { egress: [{ toEntities: ['all'] }], ingress: [tcp] }, 'icmp packet tun'],
  [
    'nothing denied',
    { egress: [{ toEntities: ['all'] }], ingress: [{ fromEntities: ['all'] }] },
    'icmp packet tun sockets',
  ],
  ['in audit', { egress: [tcp], ingress: [tcp] }, 'icmp packet tun sockets', 'audit'],
];
for (const [what, spec, opens, mode] of BY_POLICY)
  test(`a policy opens, by ${what}: ${opens || 'nothing'}`, () => assert.is(opened(spec, mode), opens));

test('what two registrations of one identity open is joined', () => {
  const joined = joinOpens(declaredOpens(['icmp', { raw: ['vrrp'] }]), declaredOpens(['tun', { raw: [89, 112] }]));
  assert.equal([...joined.names].sort(), ['icmp', 'tun']);
  assert.equal(joined.raw, [89, 112]);
});

test.run();
