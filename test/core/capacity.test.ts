import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { capacityProblems, countEntries } from '../../src/core/capacity.ts';
import { PolicyCompiler } from '../../src/core/compile.ts';
import { workloadIdentity } from '../../src/core/identity.ts';
import { workloadLabels } from '../../src/core/label.ts';
import { parsePolicy } from '../../src/core/policy.ts';
import { portPrefixes } from '../../src/core/port-prefix.ts';

test('port prefixes cover their range exactly, and never more than 30 of them', () => {
  const range = fc
    .tuple(fc.integer({ min: 0, max: 65535 }), fc.integer({ min: 0, max: 65535 }))
    .map((pair) => pair.sort((a, b) => a - b) as [number, number]);
  fc.assert(
    fc.property(range, ([from, to]) => {
      const prefixes = portPrefixes(from, to);
      assert.ok(prefixes.length <= 30);
      let next = from;
      for (const { port, prefixLength } of prefixes) {
        const size = 2 ** (16 - prefixLength);
        assert.is(port, next);
        assert.is(port % size, 0);
        next += size;
      }
      assert.is(next, to + 1);
    }),
  );
});

test('port prefixes of known ranges', () => {
  assert.equal(portPrefixes(0, 65535), [{ port: 0, prefixLength: 0 }]);
  assert.equal(portPrefixes(80, 80), [{ port: 80, prefixLength: 16 }]);
  assert.equal(portPrefixes(8080, 8089), [
    { port: 8080, prefixLength: 13 },
    { port: 8088, prefixLength: 15 },
  ]);
  assert.is(portPrefixes(1, 65534).length, 30);
});

test('equal tables are counted once, peers each', () => {
  const identity = (n: number, labels: Record<string, string>) => ({
    id: workloadIdentity(256 + n),
    labels: workloadLabels('shop', labels),
  });
  const parsed = parsePolicy({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: 'p', namespace: 'shop' },
    spec: {
      endpointSelector: { matchLabels: { side: 'server' } },
      ingress: [
        {
          fromEndpoints: [{ matchLabels: { side: 'client' } }],
          toPorts: [{ ports: [{ port: 8080, endPort: 8089, protocol: 'TCP' }] }],
        },
        { fromCIDR: ['192.0.2.0/24'] },
      ],
    },
  });
  assert.ok(parsed.ok);
  const compiler = new PolicyCompiler();
  compiler.update({
    identities: [
      identity(0, { side: 'server' }),
      identity(1, { side: 'server', n: '2' }),
      identity(2, { side: 'client' }),
      identity(3, { side: 'client', n: '2' }),
    ],
    cidrs: [],
    policies: [parsed.value],
    namespaces: {},
    clusterName: 'default',
  });
  // Two servers x (everyone, two clients). Tables: everyone (1), client (1 + two prefixes).
  assert.equal(countEntries(compiler.all(), 1), { policyL3: 6, policyL4: 4, cidr: 1 });
});

test('what does not fit is refused by map, with both numbers', () => {
  const limits = { policyL3: 10, policyL4: 10, cidr: 10 };
  assert.equal(capacityProblems({ policyL3: 10, policyL4: 10, cidr: 10 }, limits), []);
  const [problem, ...rest] = capacityProblems({ policyL3: 10, policyL4: 10, cidr: 11 }, limits);
  assert.equal(rest, []);
  assert.match(problem!.message, 'policy does not fit: 11 IP prefixes (cidr) are needed, 10 are possible');
});

test.run();
