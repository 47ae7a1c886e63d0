/** A row of the conformance tables (test/conformance/README.md) as a world and the connections to judge in it. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { contains, formatPrefix, parsePrefix } from '../../src/core/cidr.ts';
import { cidrPrefixes } from '../../src/core/cidr-prefixes.ts';
import {
  type Identity,
  type IdentityId,
  localIdentity,
  RESERVED,
  type ReservedName,
  toIdentityId,
  workloadIdentity,
} from '../../src/core/identity.ts';
import { canonicalLabels, workloadLabels } from '../../src/core/label.ts';
import { type Policy, parsePolicy } from '../../src/core/policy.ts';
import type { FieldError } from '../../src/core/problem.ts';
import type { Connection } from '../../src/core/verdict.ts';
import type { World } from '../../src/core/world.ts';

export interface Endpoint {
  readonly name: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly labels?: Record<string, string>;
  readonly ip?: string;
  readonly cluster?: string;
  readonly serviceAccount?: string;
  readonly ports?: readonly { port: number; protocol: 'TCP' | 'UDP' | 'SCTP'; name: string }[];
}

export interface Probe {
  readonly from: string;
  readonly to: string;
  readonly port?: number;
  readonly protocol?: 'TCP' | 'UDP' | 'SCTP';
  readonly icmp?: { readonly family: 'IPv4' | 'IPv6'; readonly type: number };
  readonly expect: string;
  readonly expectCilium?: string;
  readonly ingress?: string;
  readonly egress?: string;
}

export interface Case {
  readonly name: string;
  readonly policies: readonly unknown[];
  readonly namespaces: readonly { name: string; labels: Record<string, string> }[];
  readonly endpoints: readonly Endpoint[];
  readonly probes: readonly Probe[];
  readonly enforcement?: 'default' | 'always' | 'never';
}

export function readTable<T>(name: string): T[] {
  const bytes = readFileSync(new URL(`../conformance/${name}.jsonl.gz`, import.meta.url));
  const lines = gunzipSync(bytes).toString().split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as T);
}

export type ReadCase =
  | { readonly world: World; connection(probe: Probe): Connection }
  | { readonly refused: readonly FieldError[] };

export function readCase(row: Case): ReadCase {
  const parsed = row.policies.map((document) => parsePolicy(document));
  const refused = parsed.flatMap((result) => (result.ok ? [] : result.errors));
  if (refused.length > 0) return { refused };
  const policies = parsed.flatMap((result) => (result.ok ? [result.value] : []));
  const world = toWorld(row, policies);
  const ends = new Map(row.endpoints.map((endpoint, i) => [endpoint.name, toEnd(endpoint, i, world)]));
  return {
    world,
    connection: (probe) => ({
      from: ends.get(probe.from)!.id,
      to: ends.get(probe.to)!.id,
      fromAddress: ends.get(probe.from)!.address,
      toAddress: ends.get(probe.to)!.address,
      port: probe.port,
      protocol: probe.icmp ? (probe.icmp.family === 'IPv6' ? 58 : 1) : { TCP: 6, UDP: 17, SCTP: 132 }[probe.protocol!],
    }),
  };
}

function toWorld(row: Case, policies: readonly Policy[]): World {
  const clusterName = row.endpoints.find((endpoint) => endpoint.cluster)?.cluster ?? 'default';
  const workloads = row.endpoints.flatMap((endpoint, i) =>
    isWorkload(endpoint) ? [toIdentity(endpoint, i, clusterName)] : [],
  );
  const init = row.endpoints.some((endpoint) => endpoint.kind === 'init');
  return {
    identities: init ? [...workloads, { id: toIdentityId(RESERVED.init), labels: ['reserved:init'] }] : workloads,
    cidrs: cidrPrefixes(policies).map((prefix, i) => ({ id: localIdentity(i + 1), prefix })),
    policies,
    namespaces: Object.fromEntries(row.namespaces.map(({ name, labels }) => [name, labels])),
    clusterName,
    ...(row.enforcement ? { enforcement: row.enforcement } : {}),
  };
}

function isWorkload(endpoint: Endpoint): boolean {
  return (endpoint.kind ?? 'endpoint') === 'endpoint';
}

function toIdentity(endpoint: Endpoint, i: number, clusterName: string): Identity {
  const account = endpoint.serviceAccount ? [`k8s:io.cilium.k8s.policy.serviceaccount=${endpoint.serviceAccount}`] : [];
  return {
    id: workloadIdentity(256 + i),
    labels: canonicalLabels([
      ...workloadLabels(endpoint.namespace!, endpoint.labels ?? {}, endpoint.cluster ?? clusterName),
      ...account,
    ]),
    ...(endpoint.ports
      ? { ports: Object.fromEntries(endpoint.ports.map(({ name, port, protocol }) => [name, { port, protocol }])) }
      : {}),
  };
}

function toEnd(endpoint: Endpoint, i: number, world: World): { id: IdentityId; address?: string } {
  if (isWorkload(endpoint)) return { id: workloadIdentity(256 + i), ...(endpoint.ip ? { address: endpoint.ip } : {}) };
  if (endpoint.kind !== 'external') return { id: toIdentityId(RESERVED[endpoint.kind as ReservedName]) };
  return { id: identityOfAddress(endpoint.ip!, world), address: endpoint.ip! };
}

/** As the ipcache answers: the longest prefix that holds the address, else the world of its family. */
export function identityOfAddress(text: string, world: World): IdentityId {
  const address = parsePrefix(text, { bare: true })!;
  const holding = world.cidrs.filter(({ prefix }) => contains(parsePrefix(prefix)!, address));
  const longest = holding.sort((a, b) => parsePrefix(b.prefix)!.length - parsePrefix(a.prefix)!.length)[0];
  return longest?.id ?? toIdentityId(RESERVED[formatPrefix(address).includes(':') ? 'world-ipv6' : 'world-ipv4']);
}
