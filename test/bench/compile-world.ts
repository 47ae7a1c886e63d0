import { cidrPrefixes } from '../../src/core/cidr-prefixes.ts';
import { localIdentity, workloadIdentity } from '../../src/core/identity.ts';
import { workloadLabels } from '../../src/core/label.ts';
import { type Policy, parsePolicy } from '../../src/core/policy.ts';
import type { World } from '../../src/core/world.ts';

/**
 * `sparse`: each policy is about a few workloads. `dense`: each of 20 namespaces has policies that select all of its
 * workloads. `world`: as sparse, and every workload may go to the world, which every prefix is part of.
 */
export const SHAPES = ['sparse', 'dense', 'world'] as const;
export type Shape = (typeof SHAPES)[number];

export const POLICIES = 1000;

export function makeWorld(shape: Shape, size: number): World {
  const policies = Array.from({ length: POLICIES }, (_, i) => makePolicy(shape, i, 8443, size));
  return {
    identities: Array.from({ length: size }, (_, i) => makeIdentity(shape, i)),
    cidrs: cidrPrefixes(policies).map((prefix, i) => ({ id: localIdentity(i + 1), prefix })),
    policies,
    namespaces: Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`ns${i}`, { team: `team${i % 4}` }])),
    clusterName: 'default',
  };
}

export function makeIdentity(shape: Shape, i: number) {
  const labels = { app: `app${i}`, tier: ['web', 'api', 'db'][i % 3]!, shape };
  return {
    id: workloadIdentity(256 + i),
    labels: workloadLabels(`ns${i % 20}`, labels),
    ports: { http: { port: 8000 + (i % 7), protocol: 'TCP' as const } },
  };
}

export function makePolicy(shape: Shape, i: number, port: number, size: number): Policy {
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
