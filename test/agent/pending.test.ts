/** The host's setting about who is not known yet, after the compiler. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { INIT, PROVISIONAL_RULE, withInit, withPending } from '../../src/agent/pending.ts';
import { PolicyCompiler, type World } from '../../src/core/compile.ts';
import { workloadIdentity } from '../../src/core/identity.ts';
import { parsePolicy } from '../../src/core/policy.ts';

const test = suite('pending setting');
const BACKEND = workloadIdentity(300);

function worldOf(...specs: Record<string, unknown>[]): World {
  const policies = specs.map((spec, i) => {
    const parsed = parsePolicy({
      apiVersion: 'cilium.io/v2',
      kind: 'CiliumClusterwideNetworkPolicy',
      metadata: { name: `p${i}` },
      spec,
    });
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
    return parsed.value;
  });
  const identities = [{ id: BACKEND, labels: ['user:app=backend'] }];
  return { identities, cidrs: [], policies, namespaces: {}, clusterName: 'default' };
}

const denied = {
  endpointSelector: { matchLabels: { app: 'backend' } },
  ingress: [{}],
  ingressDeny: [{ fromEntities: ['init'] }],
};
const closed = { endpointSelector: { matchLabels: { app: 'backend' } }, ingress: [{}], egress: [{}] };

test('allow: init is not enforced, and whatever policy says everybody lets it in', () => {
  for (const spec of [denied, closed]) {
    const compiler = new PolicyCompiler();
    compiler.update(withInit(worldOf(spec), 'allow'));
    assert.is(compiler.all().get(INIT), undefined);
    const compiled = withPending(BACKEND, compiler.all().get(BACKEND), 'allow')!;
    const table = compiled.ingress.peers.get(INIT)!;
    assert.equal([table.entries, table.fallback.verdict, table.fallback.rules], [[], 'allow', [PROVISIONAL_RULE]]);
    assert.is(
      compiled.ingress.peers.get(0 as never),
      compiler
        .all()
        .get(BACKEND)!
        .ingress.peers.get(0 as never),
    );
  }
});

test('a direction that nobody enforces stays so', () => {
  const compiler = new PolicyCompiler();
  compiler.update(withInit(worldOf(denied), 'allow'));
  const compiled = withPending(BACKEND, compiler.all().get(BACKEND), 'allow')!;
  assert.is(compiled.egress.enforced, false);
  assert.is(compiled.egress.peers.size, 0);
});

test('deny: init is in default deny, and has what policy grants reserved:init', () => {
  const compiler = new PolicyCompiler();
  const grant = { endpointSelector: { matchLabels: { 'reserved:init': '' } }, egress: [{ toEntities: ['host'] }] };
  compiler.update(withInit(worldOf(closed, grant), 'deny'));
  const init = withPending(INIT, compiler.all().get(INIT), 'deny')!;
  assert.is(init.ingress.enforced && init.egress.enforced, true);
  assert.is(withPending(BACKEND, compiler.all().get(BACKEND), 'deny'), compiler.all().get(BACKEND));
});

test.run();
