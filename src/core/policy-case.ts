/**
 * A policy test case (docs/policy.md, "Policy tests") as a world, and its probes as connections in it. The format is that
 * of the conformance tables, with some liberties: an end of a probe may be an address or the name of a reserved identity.
 */
import { contains, parseAddress, parsePrefix } from './cidr.ts';
import { cidrPrefixes } from './cidr-prefixes.ts';
import {
  type Identity,
  type IdentityId,
  localIdentity,
  type PortProtocolName,
  RESERVED,
  type ReservedName,
  toIdentityId,
  workloadIdentity,
} from './identity.ts';
import { CLUSTER_KEY, canonicalLabels, hostIdentityLabels, workloadLabels } from './label.ts';
import { type Policy, parsePolicy, UNDERSTOOD } from './policy.ts';
import { NOT_SUPPORTED } from './policy-fields.ts';
import type { FieldError } from './problem.ts';
import { ICMP, ICMPV6, PORTLESS, PROTOCOLS } from './protocol.ts';
import type { Connection } from './verdict.ts';
import type { World } from './world.ts';

export interface CaseEndpoint {
  readonly name: string;
  /** Default `endpoint`: a workload. `external`: an address outside. Else a reserved identity. */
  readonly kind?: string;
  /** Default `default`. */
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly ip?: string;
  readonly cluster?: string;
  readonly serviceAccount?: string;
  readonly ports?: readonly { readonly port: number; readonly protocol?: PortProtocolName; readonly name?: string }[];
  /** Of a host or a remote-node. */
  readonly nodeLabels?: Readonly<Record<string, string>>;
  /** Whether host policies protect the host; default: if it has nodeLabels. */
  readonly hostFirewall?: boolean;
}

export interface CaseProbe {
  readonly from: string;
  readonly to: string;
  /** A name is looked up in the ports of `to`. */
  readonly port?: number | string;
  /** Default TCP. */
  readonly protocol?: string;
  readonly icmp?: { readonly family?: 'IPv4' | 'IPv6'; readonly type: number };
  /** `drop` and `deny` mean the same. */
  readonly expect: string;
  readonly expectCilium?: string;
  /** An end that talks to itself: not judged. */
  readonly loopback?: boolean;
  /** What each side alone must say. */
  readonly ingress?: string;
  readonly egress?: string;
}

export interface PolicyCase {
  readonly name: string;
  readonly policies: readonly unknown[];
  readonly namespaces?: readonly { readonly name: string; readonly labels?: Readonly<Record<string, string>> }[];
  readonly endpoints: readonly CaseEndpoint[];
  readonly probes: readonly CaseProbe[];
  readonly enforcement?: 'default' | 'always' | 'never';
  readonly clusterName?: string;
}

export type ReadCase =
  | { readonly world: World; readonly connection: (probe: CaseProbe) => Connection }
  /** A document is malformed, or uses what is not supported: which, is in the errors' `code`. */
  | { readonly refused: readonly FieldError[] };

/** Throws a RangeError when an endpoint names what there is not; `connection` does when a probe does. */
export function readCase(row: PolicyCase): ReadCase {
  const parsed = row.policies.map((document) => parsePolicy(document, UNDERSTOOD));
  const refused = parsed.flatMap((result) => (result.ok ? [] : result.errors));
  if (refused.length > 0) return { refused };
  const world = toWorld(
    row,
    parsed.flatMap((result) => (result.ok ? [result.value] : [])),
  );
  const ends = new Map(row.endpoints.map((endpoint, i) => [endpoint.name, toEnd(endpoint, i, world)]));
  const endOf = (name: string) => ends.get(name) ?? literalEnd(name, world);
  return {
    world,
    connection: (probe) => {
      const [from, to] = [endOf(probe.from), endOf(probe.to)];
      return {
        from: from.id,
        to: to.id,
        ...(from.address === undefined ? {} : { fromAddress: from.address }),
        ...(to.address === undefined ? {} : { toAddress: to.address }),
        ...trafficOf(probe, row),
      };
    },
  };
}

/** Whether a case that was refused is malformed, rather than in want of something that is not supported. */
export function isMalformed(refused: readonly FieldError[]): boolean {
  return refused.some(({ code }) => code !== NOT_SUPPORTED);
}

function toWorld(row: PolicyCase, policies: readonly Policy[]): World {
  const clusterName = row.clusterName ?? row.endpoints.find(({ cluster }) => cluster)?.cluster ?? 'default';
  return {
    identities: row.endpoints.flatMap((endpoint, i) => toIdentity(endpoint, i, clusterName) ?? []),
    cidrs: cidrPrefixes(policies).map((prefix, i) => ({ id: localIdentity(i + 1), prefix })),
    policies,
    namespaces: Object.fromEntries((row.namespaces ?? []).map(({ name, labels }) => [name, labels ?? {}])),
    clusterName,
    ...(row.enforcement ? { enforcement: row.enforcement } : {}),
  };
}

/** Reserved identities that are endpoints of their own in Cilium: policy protects them where a case has them. */
const PROTECTED = ['init', 'health', 'ingress'];
const REMOTE_NODE_SCOPE = 0x02000000;

function kindOf({ kind }: CaseEndpoint): string {
  return kind ?? 'endpoint';
}

function toIdentity(endpoint: CaseEndpoint, i: number, clusterName: string): Identity | undefined {
  const kind = kindOf(endpoint);
  if (kind === 'endpoint') return toWorkload(endpoint, i, clusterName);
  if (PROTECTED.includes(kind)) return { id: idOf(endpoint, i), labels: [`reserved:${kind}`] };
  if (kind === 'host' && (endpoint.hostFirewall ?? endpoint.nodeLabels !== undefined)) {
    return {
      id: idOf(endpoint, i),
      labels: hostIdentityLabels(endpoint.nodeLabels ?? {}, endpoint.cluster ?? clusterName),
    };
  }
  if (kind !== 'remote-node' || endpoint.nodeLabels === undefined) return undefined;
  return { id: idOf(endpoint, i), labels: nodeLabels(endpoint, clusterName) };
}

function nodeLabels(endpoint: CaseEndpoint, clusterName: string): string[] {
  return canonicalLabels([
    'reserved:remote-node',
    ...Object.entries(endpoint.nodeLabels ?? {}).map(([key, value]) => ({ source: 'node', key, value })),
    { source: 'k8s', key: CLUSTER_KEY, value: endpoint.cluster ?? clusterName },
  ]);
}

function toWorkload(endpoint: CaseEndpoint, i: number, clusterName: string): Identity {
  const account = endpoint.serviceAccount ? [`k8s:io.cilium.k8s.policy.serviceaccount=${endpoint.serviceAccount}`] : [];
  const own = workloadLabels(endpoint.namespace ?? 'default', endpoint.labels ?? {}, endpoint.cluster ?? clusterName);
  const ports = (endpoint.ports ?? []).flatMap(({ name, port, protocol = 'TCP' as const }) =>
    name === undefined ? [] : [[name.toLowerCase(), { port, protocol }] as const],
  );
  return {
    id: idOf(endpoint, i),
    labels: canonicalLabels([...own, ...account]),
    ...(ports.length > 0 ? { ports: Object.fromEntries(ports) } : {}),
  };
}

function idOf(endpoint: CaseEndpoint, i: number): IdentityId {
  const kind = kindOf(endpoint);
  if (kind === 'endpoint') return workloadIdentity(256 + i);
  if (kind === 'remote-node' && endpoint.nodeLabels !== undefined) return toIdentityId(REMOTE_NODE_SCOPE | (i + 1));
  if (Object.hasOwn(RESERVED, kind)) return toIdentityId(RESERVED[kind as ReservedName]);
  throw new RangeError(`endpoint "${endpoint.name}" has an unknown kind "${kind}"`);
}

interface End {
  readonly id: IdentityId;
  readonly address?: string;
}

function toEnd(endpoint: CaseEndpoint, i: number, world: World): End {
  if (kindOf(endpoint) === 'external') return addressEnd(endpoint.ip ?? '', world, `endpoint "${endpoint.name}"`);
  return { id: idOf(endpoint, i), ...(endpoint.ip ? { address: endpoint.ip } : {}) };
}

function literalEnd(name: string, world: World): End {
  if (parseAddress(name)) return addressEnd(name, world, name);
  if (Object.hasOwn(RESERVED, name)) return { id: toIdentityId(RESERVED[name as ReservedName]) };
  throw new RangeError(`names "${name}", which is neither an endpoint nor an address nor a reserved identity`);
}

function addressEnd(text: string, world: World, who: string): End {
  if (!parseAddress(text)) throw new RangeError(`${who} is outside and needs an address in ip, not "${text}"`);
  return { id: identityOfAddress(text, world), address: text };
}

/** As the ipcache answers: the longest prefix that holds the address, else the world of its family. */
export function identityOfAddress(text: string, world: Pick<World, 'cidrs'>): IdentityId {
  const address = parsePrefix(text, { bare: true })!;
  let longest: { readonly id: IdentityId; readonly length: number } | undefined;
  for (const { id, prefix } of world.cidrs) {
    const parsed = parsePrefix(prefix)!;
    if (contains(parsed, address) && !(longest && longest.length >= parsed.length))
      longest = { id, length: parsed.length };
  }
  return longest?.id ?? toIdentityId(RESERVED[address.family === 6 ? 'world-ipv6' : 'world-ipv4']);
}

function trafficOf(probe: CaseProbe, row: PolicyCase): Pick<Connection, 'protocol' | 'port'> {
  if (probe.icmp) return { protocol: probe.icmp.family === 'IPv6' ? ICMPV6 : ICMP, port: probe.icmp.type };
  const word = (probe.protocol ?? 'TCP').toUpperCase();
  const protocol = ({ ...PROTOCOLS, ...PORTLESS, ICMP, ICMPV6 } as Readonly<Record<string, number>>)[word];
  if (protocol === undefined) throw new RangeError(`has an unknown protocol "${probe.protocol}"`);
  return probe.port === undefined ? { protocol } : { protocol, port: portOf(probe, row) };
}

function portOf({ port, to }: CaseProbe, { endpoints }: PolicyCase): number {
  const named = endpoints.find(({ name }) => name === to)?.ports?.find(({ name }) => name === port)?.port;
  const number = named ?? Number(port);
  if (Number.isInteger(number) && number >= 0 && number <= 65535) return number;
  throw new RangeError(`has the port "${port}": it must be 0 to 65535, or a name that "${to}" declares`);
}
