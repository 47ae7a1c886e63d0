/** Answers `POST /v1/access:check` from the desired state: pure but for the reports it is given. */
import { type AccessAnswer, type AccessEnd, type AccessQuestion, ASKED_PROTOCOLS } from '../api/access.ts';
import type { Denial } from '../core/denial.ts';
import { type Explained, type ExplainedSide, explain } from '../core/explain.ts';
import { type Identity, isOutside, RESERVED, toIdentityId } from '../core/identity.ts';
import { hostIdentityLabels } from '../core/label.ts';
import type { FieldError } from '../core/problem.ts';
import { worse } from '../core/verdict.ts';
import type { World } from '../core/world.ts';
import { type End, resolveEnd } from './access-end.ts';
import { CLUSTER_NAME } from './plan.ts';
import { ProblemError } from './problem-error.ts';
import type { Reports } from './reports.ts';
import type { State } from './state.ts';
import { PrefixNumbers, toWorld } from './world.ts';

type Pair = Explained & { readonly from: AccessEnd; readonly to: AccessEnd };

/** Throws a ProblemError for an end that is not known, or a port that the protocol cannot have. */
export function checkConnection(question: AccessQuestion, state: State, reports: Reports): AccessAnswer {
  const { protocol, port, type } = trafficOf({ ...question, port: portOf(question, state) });
  const world = toWorld(state, new PrefixNumbers(), (identity) => reports.listeningOf(identity));
  const asked = { state, reports, world };
  const from = resolveEnd('from', question.from, asked, { peerHost: question.to.host });
  const to = resolveEnd('to', question.to, asked, { port, peerHost: question.from.host });
  const hosts = [...from.ends, ...to.ends].flatMap((end) => hostIdentity(end, reports)).slice(0, 1);
  const whole: World = {
    ...world,
    identities: [...world.identities, ...from.hypothetical, ...to.hypothetical, ...hosts],
  };
  const pairs = from.ends.flatMap((source) =>
    to.ends.map((destination) => withDenial(ask(whole, source, destination, protocol, port ?? type, reports), reports)),
  );
  const first =
    pairs.find(({ verdict }) => verdict === 'DROPPED') ?? pairs.find(({ verdict }) => verdict === 'AUDIT') ?? pairs[0]!;
  const isOne = pairs.every((pair) => answerOf(pair) === answerOf(first));
  return {
    ...first,
    ...(port !== undefined && { port }),
    protocol,
    revision: state.revision,
    ...(!isOne && { pairs }),
    notes: [
      ...from.notes,
      ...to.notes,
      ...behind([question.from.host, question.to.host], state, reports),
      ...less(question, reports),
      ...differing(question, reports),
    ],
  };
}

type Protocol = keyof typeof ASKED_PROTOCOLS;

/** The host as host policies select it: one at most is the host itself, others are remote nodes. */
function hostIdentity({ identity, host }: End, reports: Reports): Identity[] {
  const known = host === undefined ? undefined : reports.all.get(host);
  if (identity !== RESERVED.host || known === undefined) return [];
  return [{ id: toIdentityId(identity), labels: hostIdentityLabels(known.report.labels ?? {}, CLUSTER_NAME) }];
}

type Question = Omit<AccessQuestion, 'port'> & { readonly port?: number | undefined };

interface Traffic {
  readonly protocol: Protocol;
  readonly port?: number;
  /** Of ICMP; echo request unless said. */
  readonly type?: number;
}

/** A name is that of a port which the destination's registration declares; digits are a number. */
function portOf({ port, to, protocol = 'TCP' }: AccessQuestion, state: State): number | undefined {
  if (typeof port !== 'string') return port;
  const ports = state.workloads.get(to.workload ?? '')?.spec.ports ?? {};
  const declared = Object.hasOwn(ports, port) ? ports[port] : undefined;
  const [number, of] = (declared ?? `${port}/${protocol}`).split('/');
  if (/^\d{1,5}$/.test(number!) && Number(number) <= 65535 && of === protocol) return Number(number);
  const whose =
    to.workload === undefined
      ? 'only a workload has names for ports'
      : `${to.workload} has no such port of ${protocol}`;
  const allowed = Object.entries(ports).map(([name, what]) => `${name} (${what})`);
  const message = `must be a number, 0 to 65535, or a name: ${whose}`;
  throw new ProblemError('invalid', `Cannot ask that: /port ${message}`, {
    errors: [{ path: '/port', message, value: port, ...(allowed.length > 0 && { allowed }) }],
  });
}

function trafficOf({ port: asked, protocol: named, icmp, to }: Question): Traffic {
  const protocol = named ?? (icmp === undefined ? 'TCP' : 'ICMP');
  const port = asked ?? to.port;
  const errors: FieldError[] = [];
  if (asked !== undefined && to.port !== undefined && asked !== to.port)
    errors.push({ path: '/port', message: `is not ${to.port}, the port of "to"`, value: asked });
  if (protocol.startsWith('ICMP')) {
    if (port !== undefined) errors.push({ path: '/port', message: `${protocol} has no ports`, value: port });
  } else {
    if (port === undefined) errors.push({ path: '/port', message: `is required: ${protocol} is allowed by port` });
    if (icmp !== undefined) errors.push({ path: '/icmp', message: `is not part of ${protocol}` });
  }
  if (errors.length > 0)
    throw new ProblemError('invalid', `Cannot ask that: ${errors[0]!.path} ${errors[0]!.message}`, { errors });
  if (port !== undefined) return { protocol, port };
  return { protocol, type: icmp?.type ?? (protocol === 'ICMPV6' ? 128 : 8) };
}

/** Each side by the setting of its own host. */
function ask(world: World, from: End, to: End, protocol: Protocol, port: number | undefined, reports: Reports): Pair {
  const [of, at] = [from, to].map((end) => enforcementOn(end.host, reports));
  const whole = askAs({ ...world, enforcement: at ?? 'default' }, from, to, protocol, port);
  if (of === at) return whole;
  const { egress } = askAs({ ...world, enforcement: of ?? 'default' }, from, to, protocol, port);
  return { ...whole, egress, verdict: worse(egress.verdict, whole.ingress.verdict) };
}

/** `--enable-policy` of a host; of no named one: what all have. Undefined where they differ, or nobody has told. */
function enforcementOn(host: string | undefined, reports: Reports): World['enforcement'] {
  const asked = [...reports.all.values()].filter(({ name }) => host === undefined || name === host);
  const said = new Set(asked.map(({ report }) => report.settings?.enablePolicy ?? 'default'));
  return said.size === 1 ? [...said][0] : undefined;
}

/** Hosts that are set otherwise than the answer takes it, where no host was named. */
function differing({ from, to }: AccessQuestion, reports: Reports): string[] {
  if (from.host !== undefined || to.host !== undefined || enforcementOn(undefined, reports) !== undefined) return [];
  return [...reports.all.values()].flatMap(({ name, report }) => {
    const set = report.settings?.enablePolicy ?? 'default';
    return set === 'default' ? [] : [`${name} has --enable-policy ${set}: ask with the host, such as shop/web@${name}`];
  });
}

function askAs(world: World, from: End, to: End, protocol: Protocol, port: number | undefined): Pair {
  const explained = explain(
    world,
    {
      from: toIdentityId(from.identity),
      to: toIdentityId(to.identity),
      protocol: ASKED_PROTOCOLS[protocol],
      ...(port !== undefined && { port }),
      ...(from.ip !== undefined && { fromAddress: from.ip }),
      ...(to.ip !== undefined && { toAddress: to.ip }),
    },
    { from: from.name, to: to.name },
  );
  return { ...explained, from, to };
}

/**
 * How what is dropped feels, by the policy that decided or else the host; what another host's ingress drops is silent there.
 * Where hosts differ and none is named, only what the policy says is told.
 */
function withDenial(pair: Pair, reports: Reports): Pair {
  const { from, to, egress, ingress } = pair;
  const isFar =
    isOutside(from.identity ?? 0) || (from.host !== undefined && to.host !== undefined && from.host !== to.host);
  const side = (one: ExplainedSide, denial: Denial | undefined): ExplainedSide =>
    one.verdict === 'DROPPED' && denial !== undefined ? { ...one, denial } : one;
  return {
    ...pair,
    egress: side(egress, egress.denial ?? denialOn(from.host, reports)),
    ingress: side(ingress, isFar ? 'timeout' : (ingress.denial ?? denialOn(to.host ?? from.host, reports))),
  };
}

function denialOn(host: string | undefined, reports: Reports): Denial | undefined {
  const asked = [...reports.all.values()].filter(({ name }) => host === undefined || name === host);
  const said = new Set(asked.flatMap(({ report }) => report.settings?.deny ?? []));
  return said.size === 1 ? [...said][0] : undefined;
}

/** Hosts where policy does less than the answer says. */
function less({ from, to }: AccessQuestion, reports: Reports): string[] {
  const named = [from.host, to.host].filter((host) => host !== undefined);
  return [...reports.all.values()].flatMap(({ name, report: { mode } }) => {
    if (mode === undefined || mode === 'enforce' || (named.length > 0 && !named.includes(name))) return [];
    return [`${name} is in mode ${mode}: nothing is dropped there`];
  });
}

/** Two pairs that are answered alike are one answer: default texts differ by the name alone. */
function answerOf({ egress, ingress }: Pair): string {
  return JSON.stringify([egress, ingress].map(({ verdict, by }) => [verdict, 'default' in by ? '' : by]));
}

/** The answer is what is wanted; a host that is named may not have it yet. */
function behind(hosts: readonly (string | undefined)[], { revision }: State, reports: Reports): string[] {
  return [...new Set(hosts)].flatMap((host) => {
    const seen = host === undefined ? undefined : reports.all.get(host);
    if (seen === undefined || seen.report.appliedRevision >= revision) return [];
    return [`${host} has revision ${seen.report.appliedRevision}, this is the answer of ${revision}`];
  });
}
