import { cidrPrefixes } from '../../src/core/cidr-prefixes.ts';
import { localIdentity, workloadIdentity } from '../../src/core/identity.ts';
import { workloadLabels } from '../../src/core/label.ts';
import { type Policy, parsePolicy } from '../../src/core/policy.ts';
import type { World } from '../../src/core/world.ts';

const WORKLOADS = 1000;
export const CLIENT = workloadIdentity(256);
export const SERVER = workloadIdentity(257);

/**
 * 1000 workloads, each with a policy of its own that names three others and ten prefixes: 10 000 prefixes. The first two
 * are client and server: both directions enforced, each may reach the other by label and at `addresses`.
 */
export function makeTrafficWorld(addresses: readonly string[]): World {
  const policies = Array.from({ length: WORKLOADS }, (_, i) => makePolicy(i, i < 2 ? addresses : []));
  return {
    identities: Array.from({ length: WORKLOADS }, (_, i) => ({
      id: workloadIdentity(256 + i),
      labels: workloadLabels('bench', { app: `app${i}` }),
    })),
    cidrs: cidrPrefixes(policies).map((prefix, i) => ({ id: localIdentity(i + 1), prefix })),
    policies,
    namespaces: {},
    clusterName: 'default',
  };
}

function makePolicy(i: number, addresses: readonly string[]): Policy {
  const parsed = parsePolicy(policyDocument(i, addresses));
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  return parsed.value;
}

/** Policy `i` of 1000. `port` makes it differ from itself. */
export function policyDocument(i: number, addresses: readonly string[] = [], port = 443) {
  const app = (n: number) => ({ matchLabels: { app: `app${n % WORKLOADS}` } });
  const peers = [app(i + 1), app(i + WORKLOADS - 1), app(i + 3)];
  const toPorts = [{ ports: [{ port: '7000', endPort: 7100 }, { port: String(port) }] }];
  const prefixes = Array.from({ length: 10 }, (_, n) => `10.${i >> 8}.${i & 255}.${n + 1}/32`);
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { namespace: 'bench', name: `p${i}` },
    spec: {
      endpointSelector: app(i),
      ingress: [
        { fromEndpoints: peers, toPorts },
        { fromCIDR: [...prefixes, ...addresses.map((address) => `${address}/32`)], toPorts },
      ],
      egress: [
        { toEndpoints: peers, toPorts },
        { toCIDR: [...prefixes, ...addresses.map((address) => `${address}/32`)], toPorts },
      ],
    },
  };
}

export function workloadDocument(i: number, cgroup: string) {
  return {
    apiVersion: 'postern.dev/v1',
    kind: 'Workload',
    metadata: { namespace: 'bench', name: `app${i}` },
    spec: { labels: { app: `app${i}` }, match: { cgroup: `/${cgroup}/app${i}` } },
  };
}
