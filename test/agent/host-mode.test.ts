import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { withHostMode } from '../../src/agent/host-mode.ts';
import { PolicyCompiler } from '../../src/core/compile.ts';
import { type Identity, RESERVED, toIdentityId, workloadIdentity } from '../../src/core/identity.ts';
import { workloadLabels } from '../../src/core/label.ts';
import { lesser, MODES } from '../../src/core/mode.ts';
import { parsePolicy } from '../../src/core/policy.ts';
import type { World } from '../../src/core/world.ts';

const DB = workloadIdentity(256);

function worldOf(mode: (typeof MODES)[number], more: readonly Identity[] = []): World {
  const spec = { endpointSelector: {}, ingress: [{ fromEntities: ['none'] }] };
  const parsed = parsePolicy({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: 'a' },
    spec,
  });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  const own = mode === 'enforce' ? {} : { mode };
  return {
    identities: [{ id: DB, labels: workloadLabels('default', { app: 'db' }), ...own }, ...more],
    cidrs: [],
    policies: [parsed.value],
    namespaces: {},
    clusterName: 'default',
  };
}

test('of host and workload the lesser is in effect, all nine', () => {
  const seen = MODES.flatMap((host) =>
    MODES.map((workload) => {
      const compiler = new PolicyCompiler();
      compiler.update(withHostMode(worldOf(workload), host));
      const ingress = compiler.all().get(DB)?.ingress;
      const inEffect = !ingress?.enforced ? 'observe' : ingress.audit ? 'audit' : 'enforce';
      assert.is(inEffect, lesser(host, workload));
      return `${host} ${workload} ${inEffect}`;
    }),
  );
  assert.equal(seen, [
    'observe observe observe',
    'observe audit observe',
    'observe enforce observe',
    'audit observe observe',
    'audit audit audit',
    'audit enforce audit',
    'enforce observe observe',
    'enforce audit audit',
    'enforce enforce enforce',
  ]);
});

test("the host's mode is that of reserved identities too: who is not known yet is denied nothing under audit", () => {
  const init: Identity = { id: toIdentityId(RESERVED.init), labels: ['reserved:init'] };
  const compiler = new PolicyCompiler();
  compiler.update(withHostMode(worldOf('enforce', [init]), 'audit'));
  assert.is(compiler.all().get(init.id)?.egress.audit, true);
});

test('the same world again is the same identities again, so that nothing is compiled twice', () => {
  const world = worldOf('enforce');
  const [a, b] = [withHostMode(world, 'audit'), withHostMode({ ...world }, 'audit')];
  assert.ok(a.identities.every((identity, i) => identity === b.identities[i]));
  assert.is(withHostMode(world, 'enforce'), world);
});

test.run();
