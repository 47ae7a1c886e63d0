/**
 * Compile time of 1000 policies x 1000 and x 10000 identities: from nothing, with one policy changed, and with one
 * identity more. Prints milliseconds, the best and the median of some rounds. `sparse`: each policy is about a few
 * workloads. `dense`: each of 20 namespaces has policies that select all of its workloads (1000 identities only: its
 * result grows with the square).
 */

import { cidrPrefixes } from '../../src/core/cidr-prefixes.ts';
import { PolicyCompiler } from '../../src/core/compile.ts';
import { localIdentity, workloadIdentity } from '../../src/core/identity.ts';
import { workloadLabels } from '../../src/core/label.ts';
import { type Policy, parsePolicy } from '../../src/core/policy.ts';
import type { World } from '../../src/core/world.ts';
import { report } from './row.ts';

const SHAPES = ['sparse', 'dense', 'world'] as const;
type Shape = (typeof SHAPES)[number];

const POLICIES = 1000;

for (const shape of SHAPES) measure(shape, 1000, 15, { full: 300, 'one policy changed': 30, 'one identity more': 20 });
measure('sparse', 10_000, 3, { full: 2000, 'one policy changed': 50, 'one identity more': 20 });
measure('world', 10_000, 3, { full: 2000, 'one policy changed': 50, 'one identity more': 20 });

/** @param limits what is measured → ms */
function measure(shape: Shape, size: number, rounds: number, limits: Readonly<Record<string, number>>): void {
  const world = makeWorld(shape, size);
  const changed = {
    ...world,
    policies: world.policies.map((policy, i) => (i === 500 ? makePolicy(shape, i, 4443, size) : policy)),
  };
  const grown = { ...world, identities: [...world.identities, makeIdentity(shape, size)] };
  const times: Record<string, number[]> = {
    full: [],
    'one policy changed': [],
    'one identity more': [],
    'nothing changed': [],
  };
  for (let round = 0; round < rounds; round++) {
    const compiler = new PolicyCompiler();
    times.full!.push(timeOf(() => compiler.update(world)));
    times['nothing changed']!.push(timeOf(() => compiler.update({ ...world })));
    times['one policy changed']!.push(timeOf(() => compiler.update(changed)));
    compiler.update(world);
    times['one identity more']!.push(timeOf(() => compiler.update(grown)));
  }
  const compiler = new PolicyCompiler();
  compiler.update(world);
  const sides = [...compiler.all().values()].flatMap(({ ingress, egress }) => [ingress, egress]);
  const peers = sides.reduce((sum, side) => sum + side.peers.size, 0);
  const tables = new Set(sides.flatMap((side) => [...side.peers.values()])).size;
  const megabytes = process.memoryUsage().rss / 1e6;
  console.log(
    `${shape}: ${world.policies.length} policies, ${world.identities.length} identities, ${world.cidrs.length} prefixes → ${peers} peers, ${tables} tables, ${megabytes.toFixed(0)} MB resident`,
  );
  for (const [name, limit] of Object.entries(limits)) {
    const best = Math.min(...times[name]!);
    report({
      what: `compile ${POLICIES} x ${size}, ${shape}: ${name}`,
      measured: `${best.toFixed(1)} ms`,
      target: `< ${limit} ms`,
      met: best < limit,
    });
  }
  for (const [name, list] of Object.entries(times)) {
    const sorted = list.toSorted((a, b) => a - b);
    console.log(
      `  ${name.padEnd(20)} best ${sorted[0]!.toFixed(1)} ms, median ${sorted[sorted.length >> 1]!.toFixed(1)} ms, first ${list[0]!.toFixed(1)} ms`,
    );
  }
}

function timeOf(work: () => unknown): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}

function makeWorld(shape: Shape, size: number): World {
  const policies = Array.from({ length: POLICIES }, (_, i) => makePolicy(shape, i, 8443, size));
  return {
    identities: Array.from({ length: size }, (_, i) => makeIdentity(shape, i)),
    cidrs: cidrPrefixes(policies).map((prefix, i) => ({ id: localIdentity(i + 1), prefix })),
    policies,
    namespaces: Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`ns${i}`, { team: `team${i % 4}` }])),
    clusterName: 'default',
  };
}

function makeIdentity(shape: Shape, i: number) {
  const labels = { app: `app${i}`, tier: ['web', 'api', 'db'][i % 3]!, shape };
  return {
    id: workloadIdentity(256 + i),
    labels: workloadLabels(`ns${i % 20}`, labels),
    ports: { http: { port: 8000 + (i % 7), protocol: 'TCP' as const } },
  };
}

function makePolicy(shape: Shape, i: number, port: number, size: number): Policy {
  const app = (n: number) => ({
    matchLabels: { app: `app${n % size}`, 'k8s:io.kubernetes.pod.namespace': `ns${n % 20}` },
  });
  const spec =
    shape !== 'dense'
      ? {
          endpointSelector: { matchLabels: { app: `app${i}` } },
          ingress: [
            {
              fromEndpoints: [app(i + 20), app(i + 40), app(i + 7)],
              toPorts: [{ ports: [{ port: 8080, protocol: 'TCP' }, { port }] }],
            },
            {
              fromCIDR: [`10.${i % 256}.${i >> 8}.0/24`],
              toPorts: [{ ports: [{ port: 1000 + i, endPort: 3000 + i, protocol: 'TCP' }] }],
            },
          ],
          egress: [
            { toEndpoints: [app(i + 1), app(i + 3)] },
            {
              toEntities: [shape === 'world' ? 'world' : 'host'],
              toPorts: [{ ports: [{ port: 443, protocol: 'TCP' }] }],
            },
          ],
          ingressDeny: [{ fromEndpoints: [app(i + 60)] }],
        }
      : {
          endpointSelector: {},
          ingress: [
            {
              fromEndpoints: [{ matchLabels: { tier: ['web', 'api'][i % 2]! } }],
              toPorts: [{ ports: [{ port: 1000 + i, protocol: 'TCP' }, { port }] }],
            },
          ],
          egress: [{ toEndpoints: [app(i)], toPorts: [{ ports: [{ port: 'http' }] }] }],
        };
  const document = {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: `p${i}`, namespace: `ns${i % 20}` },
    spec,
  };
  const parsed = parsePolicy(document);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  return parsed.value;
}
