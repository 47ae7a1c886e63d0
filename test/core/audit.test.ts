// @timeout 120
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PolicyCompiler } from '../../src/core/compile.ts';
import { lookupVerdict } from '../../src/core/compile-lookup.ts';
import { parsePolicy, policyRef } from '../../src/core/policy.ts';
import { verdict } from '../../src/core/verdict.ts';
import { connectionsOf, world } from './compile-world.ts';

const test = suite('audit');

test('a policy or an endpoint in audit opens nothing and closes nothing, and says what would be denied if it were in force', () => {
  fc.assert(
    fc.property(world, fc.nat(), (w, seed) => {
      // A name has one policy: the last that the list gives it.
      const policies = [...new Map(w.policies.map((policy) => [policyRef(policy), policy])).values()];
      const enforced = w.identities.map(({ mode: _mode, ...identity }) => identity);
      const modes = new Map(w.identities.map(({ id, mode }) => [id, mode]));
      const inForce = { ...w, identities: enforced, policies: policies.filter(({ mode }) => mode !== 'audit') };
      const all = { ...w, identities: enforced, policies: policies.map(({ mode: _mode, ...policy }) => policy) };
      const connections = connectionsOf(w);
      for (let n = 0, i = seed; n < 60; n++, i += 7919) {
        const connection = connections[i % connections.length]!;
        const [now, strict, whole] = [w, inForce, all].map((one) => verdict(one, connection));
        for (const side of ['egress', 'ingress'] as const) {
          const mode = modes.get(side === 'egress' ? connection.from : connection.to);
          if (mode === 'observe') {
            assert.is(now![side].reason, 'NOT_ENFORCED');
            continue;
          }
          const isDropped = mode !== 'audit' && strict![side].verdict === 'DROPPED';
          const wanted = isDropped ? 'DROPPED' : whole![side].verdict === 'DROPPED' ? 'AUDIT' : 'FORWARDED';
          assert.is(now![side].verdict, wanted, JSON.stringify([side, connection]));
          if (wanted === 'AUDIT')
            assert.equal([now![side].rules, now![side].reason], [whole![side].rules, whole![side].reason]);
          if (wanted === 'DROPPED') assert.equal(now![side], strict![side]);
        }
      }
    }),
    { numRuns: 150 },
  );
});

test('the compiler follows a policy into audit and back', () => {
  fc.assert(
    fc.property(world, (w) => {
      const compiler = new PolicyCompiler();
      for (const mode of ['audit', undefined, 'audit'] as const) {
        const policies = w.policies.map(({ mode: _mode, ...policy }) =>
          mode === undefined ? policy : { ...policy, mode },
        );
        const now = { ...w, policies };
        compiler.update(now);
        for (const connection of connectionsOf(w).slice(0, 40))
          assert.equal(lookupVerdict(compiler.all(), connection), verdict(now, connection));
      }
    }),
    { numRuns: 40 },
  );
});

test('the annotation says it, for every kind', () => {
  const metadata = { name: 'a', annotations: { 'postern.dev/mode': 'audit' } };
  const spec = { endpointSelector: {}, ingress: [{}] };
  const parsed = parsePolicy({ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata, spec });
  assert.is(parsed.ok && parsed.value.mode, 'audit');
  const netpol = parsePolicy({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata,
    spec: { podSelector: {} },
  });
  assert.is(netpol.ok && netpol.value.mode, 'audit');
});

test.run();
