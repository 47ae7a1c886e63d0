/** The ends of a question, as the identities that they stand for now. */
import type { AccessEnd, PeerBody } from '../api/access.ts';
import { parseLabelSelector, selectsLabels } from '../api/label-selector.ts';
import { addressPrefix, contains, parseAddress, parsePrefix } from '../core/cidr.ts';
import { type Identity, RESERVED, type ReservedName, reservedName, toIdentityId } from '../core/identity.ts';
import { workloadLabels } from '../core/label.ts';
import type { World } from '../core/world.ts';
import { CLUSTER_NAME } from './plan.ts';
import { ProblemError } from './problem-error.ts';
import type { Reports } from './reports.ts';
import type { State, StoredWorkload } from './state.ts';

export interface End extends AccessEnd {
  readonly identity: number;
}

export interface Asked {
  readonly state: State;
  readonly reports: Reports;
  readonly world: World;
}

/** Numbers that no workload has while a question is answered: for labels that nobody registered. */
const HYPOTHETICAL = { from: 0xfffffe, to: 0xffffff } as const;

/** Most workloads that one end may stand for. */
const MOST = 100;

export interface Resolved {
  readonly ends: readonly End[];
  /** Identities that the world must have besides its own. */
  readonly hypothetical: readonly Identity[];
  readonly notes: readonly string[];
}

/** Throws a ProblemError that names the end and what is not known. @param peerHost where the other end runs, if told */
export function resolveEnd(
  side: 'from' | 'to',
  peer: PeerBody,
  asked: Asked,
  { port, peerHost }: { readonly port?: number | undefined; readonly peerHost?: string | undefined } = {},
): Resolved {
  const { namespace, labels } = peer;
  if (peer.host !== undefined) mustKnowHost(side, peer.host, asked.reports);
  if (peer.workload !== undefined) return ofWorkload(side, peer.workload, peer.host, asked);
  if (labels !== undefined) return ofLabels(side, namespace ?? 'default', labels, asked);
  if (peer.selector !== undefined) return ofSelector(side, namespace, peer.selector, asked);
  if (peer.ip !== undefined) return ofAddress(side, peer.ip, port, peerHost, asked);
  if (peer.host !== undefined) return some([hostEnd(peer.host, peerHost)]);
  return some(ofEntity(side, peer.entity!));
}

function some(ends: readonly End[], notes: readonly string[] = []): Resolved {
  return { ends, hypothetical: [], notes };
}

function ofWorkload(side: string, key: string, host: string | undefined, { state, reports }: Asked): Resolved {
  const stored = state.workloads.get(key);
  if (stored === undefined && parsePrefix(key) !== undefined) {
    throw new ProblemError('invalid', `"${key}" is a prefix, not one end`, {
      errors: [{ path: `/${side}/workload`, message: 'is a prefix: ask for one address in it', value: key }],
    });
  }
  if (stored === undefined) {
    throw new ProblemError('not-found', `There is no workload ${key}`, {
      errors: [{ path: `/${side}/workload`, message: 'is not registered', value: key }],
      hint: 'curl http://127.0.0.1:7460/v1/workloads',
    });
  }
  const runs = reports.endpointsOf(key).some((endpoint) => endpoint.host === host);
  const notes = host !== undefined && !runs ? [`${key} does not run on ${host} now`] : [];
  return some([workloadEnd(key, stored, host)], notes);
}

function workloadEnd(key: string, stored: StoredWorkload, host?: string): End {
  const labels = workloadLabels(stored.namespace, stored.spec.labels, CLUSTER_NAME);
  return {
    name: host === undefined ? key : `${key}@${host}`,
    identity: stored.identity,
    labels,
    ...(host !== undefined && { host }),
  };
}

/** Whoever has just these labels: the identity that is registered for them, or one that is only thought of. */
function ofLabels(
  side: 'from' | 'to',
  namespace: string,
  labels: Readonly<Record<string, string>>,
  { state }: Asked,
): Resolved {
  const all = workloadLabels(namespace, labels, CLUSTER_NAME);
  const known = [...state.identities.values()].find(
    (identity) => identity.workloads.length > 0 && identity.labels.join() === all.join(),
  );
  const id = known?.id ?? HYPOTHETICAL[side];
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  const name = `${namespace}:${pairs.join(',')}`;
  const hypothetical = known === undefined ? [{ id: toIdentityId(id), labels: all }] : [];
  const notes = known === undefined ? [`no workload has the labels ${name}`] : [];
  return { ends: [{ name, identity: id, labels: all }], hypothetical, notes };
}

function ofSelector(side: string, namespace: string | undefined, text: string, { state }: Asked): Resolved {
  if (text.trim() === '') {
    throw new ProblemError('invalid', `The selector of "${side}" is empty: it would stand for everybody`, {
      errors: [{ path: `/${side}/selector`, message: 'must not be empty', value: text }],
    });
  }
  const parsed = parseLabelSelector(text);
  if (!parsed.ok) {
    const [error] = parsed.errors;
    const path = `/${side}/selector`;
    const forms = 'shop/frontend, shop/frontend@web-1, 10.0.0.5:443, world, host:web-1, shop:app=web, or a selector';
    throw new ProblemError('invalid', `Cannot read "${text}" as one end: ${error!.message}; it may be ${forms}`, {
      errors: [{ ...error!, path }],
    });
  }
  const found = [...state.workloads].filter(
    ([, stored]) =>
      (namespace === undefined || stored.namespace === namespace) && selectsLabels(parsed.value, stored.spec.labels),
  );
  if (found.length === 0) {
    throw new ProblemError('not-found', `No registered workload has labels like "${text}"`, {
      errors: [{ path: `/${side}/selector`, message: 'selects nothing', value: text }],
      hint: 'for labels that nobody has yet, write {"namespace": "shop", "labels": {"app": "web"}}, or shop:app=web',
    });
  }
  const notes =
    found.length > MOST ? [`"${text}" selects ${found.length} workloads: the first ${MOST} were asked`] : [];
  return some(
    found.slice(0, MOST).map(([key, stored]) => workloadEnd(key, stored)),
    notes,
  );
}

/** As the kernel takes it: what listens there, a workload that owns the address, a host, the longest named prefix. */
function ofAddress(side: string, ip: string, port: number | undefined, peerHost: string | undefined, asked: Asked) {
  const bytes = parseAddress(ip);
  if (bytes === undefined) {
    throw new ProblemError('invalid', `"${ip}" is not an IP address`, {
      errors: [{ path: `/${side}/ip`, message: 'must be an IPv4 or IPv6 address', value: ip }],
    });
  }
  const { state, reports, world } = asked;
  const here = addressPrefix(bytes);
  const host = [...reports.all.values()].find(({ report }) =>
    report.addresses.some((address) => holds(address, here)),
  )?.name;
  if (host !== undefined) {
    const listening = reports.endpoints.filter(
      (endpoint) => endpoint.host === host && (endpoint.listening ?? []).some((socket) => socket.port === port),
    );
    const stored = state.workloads.get(listening[0]?.workload ?? '');
    if (side === 'to' && stored !== undefined) {
      const end = workloadEnd(listening[0]!.workload, stored, host);
      return some([{ ...end, ip }], [`${ip}:${port} is ${end.name}, which listens there`]);
    }
    return some([{ ...hostEnd(host, peerHost), ip }], [`${ip} is an address of the host ${host}`]);
  }
  for (const [key, stored] of state.workloads) {
    if (stored.spec.addresses?.some((prefix) => holds(prefix, here)))
      return some([{ ...workloadEnd(key, stored), ip }], [`${ip} is an address of the workload ${key}`]);
  }
  const longest = world.cidrs
    .filter(({ prefix }) => holds(prefix, here))
    .sort((a, b) => parsePrefix(b.prefix)!.length - parsePrefix(a.prefix)!.length)[0];
  const family = here.family === 4 ? RESERVED['world-ipv4'] : RESERVED['world-ipv6'];
  return some([{ name: ip, identity: longest?.id ?? family, ip }]);
}

function holds(prefix: string, address: ReturnType<typeof addressPrefix>): boolean {
  const outer = parsePrefix(prefix, { bare: true });
  return outer !== undefined && contains(outer, address);
}

function hostEnd(host: string, peerHost: string | undefined): End {
  const identity = peerHost === undefined || peerHost === host ? RESERVED.host : RESERVED['remote-node'];
  return { name: host, identity, labels: [`reserved:${reservedName(identity)}`], host };
}

function ofEntity(side: string, entity: NonNullable<PeerBody['entity']>): End[] {
  if (entity === 'world') return [reserved('world-ipv4'), reserved('world-ipv6')];
  if (entity !== 'all' && entity !== 'cluster' && entity !== 'none') return [reserved(entity)];
  throw new ProblemError('invalid', `"${entity}" is not one end: it stands for many`, {
    errors: [
      { path: `/${side}/entity`, message: 'must be one of those that traffic can have', value: entity, allowed: ONE },
    ],
  });
}

const ONE = Object.keys(RESERVED).filter((name) => name !== 'unknown');

function reserved(name: ReservedName): End {
  return { name, identity: RESERVED[name], labels: [`reserved:${name}`] };
}

function mustKnowHost(side: string, host: string, reports: Reports): void {
  if (reports.all.has(host)) return;
  throw new ProblemError('not-found', `There is no host ${host}`, {
    errors: [
      {
        path: `/${side}/host`,
        message: 'no agent of this name has reported',
        value: host,
        allowed: [...reports.all.keys()],
      },
    ],
    hint: 'curl http://127.0.0.1:7460/v1/hosts',
  });
}
