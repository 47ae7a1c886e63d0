import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PolicyCompiler } from '../../src/core/compile.ts';
import { lookupVerdict } from '../../src/core/compile-lookup.ts';
import type { Denial } from '../../src/core/denial.ts';
import { type Identity, workloadIdentity } from '../../src/core/identity.ts';
import { workloadLabels } from '../../src/core/label.ts';
import { type Policy, parsePolicy } from '../../src/core/policy.ts';
import { type SideVerdict, verdict } from '../../src/core/verdict.ts';
import type { World } from '../../src/core/world.ts';

const test = suite('denial');
const [WEB, DB] = [workloadIdentity(256), workloadIdentity(257)];

function policy(name: string, deny: string | undefined, spec: object, more: Record<string, string> = {}): Policy {
  const annotations = { ...more, ...(deny === undefined ? {} : { 'postern.dev/deny': deny }) };
  const parsed = parsePolicy({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { namespace: 'shop', name, annotations },
    spec: { endpointSelector: { matchLabels: { app: 'db' } }, ...spec },
  });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  return parsed.value;
}

/** Ingress of shop/db from shop/web on 80/TCP: the oracle's word, which the compiled tables must give too. */
function ingress(policies: readonly Policy[], mode?: Identity['mode']): SideVerdict {
  const world: World = {
    identities: [
      { id: WEB, labels: workloadLabels('shop', { app: 'web' }) },
      { id: DB, labels: workloadLabels('shop', { app: 'db' }), ...(mode === undefined ? {} : { mode }) },
    ],
    cidrs: [],
    policies,
    namespaces: {},
    clusterName: 'default',
  };
  const connection = { from: WEB, to: DB, protocol: 6, port: 80 };
  const compiler = new PolicyCompiler();
  compiler.update(world);
  const answer = verdict(world, connection);
  assert.equal(lookupVerdict(compiler.all(), connection), answer);
  return answer.ingress;
}

const closed = { ingress: [{ fromEndpoints: [{ matchLabels: { app: 'nobody' } }] }] };
const denyWeb = { ingressDeny: [{ fromEndpoints: [{ matchLabels: { app: 'web' } }] }] };
const open = { ingress: [{ fromEntities: ['all'] }] };

test('a default deny feels as the policies say that closed the endpoint: the clearest word, whatever their order', () => {
  const rows: [readonly (string | undefined)[], Denial | undefined][] = [
    [[undefined], undefined],
    [['timeout'], 'timeout'],
    [[undefined, 'timeout'], 'timeout'],
    [['timeout', 'refused'], 'refused'],
    [['refused', undefined, 'eperm', 'timeout'], 'eperm'],
  ];
  for (const [words, wanted] of rows)
    for (const ordered of [words, words.toReversed()])
      assert.is(ingress(ordered.map((word, i) => policy(`p${i}`, word, closed))).denial, wanted, words.join());
});

test('a deny rule feels as its own policy says, not as those that only put the endpoint into default deny', () => {
  const policies = [policy('a', 'eperm', closed), policy('b', 'timeout', denyWeb)];
  assert.equal(ingress(policies), {
    verdict: 'DROPPED',
    reason: 'POLICY_DENY',
    rules: ['cnp/shop/b ingressDeny[0]'],
    denial: 'timeout',
  });
});

test('a policy that does not close the endpoint has no say in its default deny', () => {
  const rules = { ...closed, enableDefaultDeny: { ingress: false } };
  assert.is(ingress([policy('a', undefined, closed), policy('b', 'refused', rules)]).denial, undefined);
});

test('what is forwarded or only audited feels like nothing', () => {
  assert.equal(Object.keys(ingress([policy('a', 'refused', open)])), ['verdict', 'reason', 'rules']);
  const audited = ingress([policy('a', 'refused', closed, { 'postern.dev/mode': 'audit' })]);
  assert.is(audited.verdict, 'AUDIT');
  assert.is(audited.denial, undefined);
  assert.is(ingress([policy('a', 'refused', closed)], 'audit').denial, undefined);
  const both = [policy('a', 'timeout', closed), policy('b', 'refused', closed, { 'postern.dev/mode': 'audit' })];
  assert.is(ingress(both).denial, 'timeout');
});

test('another word alone is a change of the compiled tables', () => {
  const compiler = new PolicyCompiler();
  const world = (deny: string): World => ({
    identities: [{ id: DB, labels: workloadLabels('shop', { app: 'db' }) }],
    cidrs: [],
    policies: [policy('a', deny, closed)],
    namespaces: {},
    clusterName: 'default',
  });
  compiler.update(world('eperm'));
  assert.equal([...compiler.update(world('refused')).keys()], [DB]);
  assert.equal([...compiler.update(world('refused')).keys()], []);
});

test('an unknown word is refused by name, with those that are known', () => {
  for (const word of ['reject', '', 'EPERM', 'Timeout']) {
    const parsed = parsePolicy({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'a', annotations: { 'postern.dev/deny': word } },
      spec: { podSelector: {} },
    });
    assert.not(parsed.ok);
    if (parsed.ok) return;
    assert.is(parsed.errors[0]!.path, '/metadata/annotations/postern.dev~1deny');
    assert.is(parsed.errors[0]!.message, 'unknown word in annotation postern.dev/deny');
    assert.equal(parsed.errors[0]!.allowed, ['eperm', 'refused', 'timeout']);
  }
});

test.run();
