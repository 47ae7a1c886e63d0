/** What a state's policy says about a connection that was seen: the compiler's tables, with ends as they are known now. */
import { addressPrefix, contains, type Prefix, parseAddress, parsePrefix } from '../core/cidr.ts';
import { type CompiledIdentity, PolicyCompiler } from '../core/compile.ts';
import { lookupVerdict } from '../core/compile-lookup.ts';
import { isOutside, RESERVED, type ReservedName, reservedName, toIdentityId } from '../core/identity.ts';
import { PROTOCOLS } from '../core/protocol.ts';
import type { Verdict } from '../core/verdict.ts';
import { HOST, HostPolicies, type HostsCompiled } from './host-policy.ts';
import type { Observed, ObservedEnd } from './observed.ts';
import type { Reports } from './reports.ts';
import type { State } from './state.ts';
import { PrefixNumbers, toWorld } from './world.ts';

export interface JudgedEnd {
  readonly identity: number;
  /** Workload, reserved name, or the prefix that policy names. */
  readonly name: string;
}

export interface Judged extends Verdict {
  readonly from: JudgedEnd;
  readonly to: JudgedEnd;
}

const NUMBERS: Readonly<Record<string, number>> = {
  ...PROTOCOLS,
  ICMPv4: 1,
  ICMP: 1,
  ICMPv6: 58,
  IGMP: 2,
  VRRP: 112,
  UDPLITE: 136,
};

/** Flows carry a name, or the number where there is none. */
export function protocolNumber(name: string): number {
  return NUMBERS[name] ?? Number(name);
}

export class FlowJudge {
  readonly #compiler: PolicyCompiler;
  readonly #hosts: HostPolicies;
  readonly #onHosts: HostsCompiled;
  readonly #state: State;
  readonly #prefixes: readonly { readonly prefix: Prefix; readonly text: string; readonly id: number }[];
  readonly #places = new Map<string, JudgedEnd | undefined>();

  /** @param before whose compiler is taken over: that judge must not be asked again */
  constructor(state: State, reports: Reports, before?: FlowJudge) {
    this.#state = state;
    this.numbers = before?.numbers ?? new PrefixNumbers();
    this.#compiler = before === undefined ? new PolicyCompiler() : before.#compiler;
    const world = toWorld(state, this.numbers, (identity) => reports.listeningOf(identity));
    this.#compiler.update(world);
    this.#hosts = before === undefined ? new HostPolicies() : before.#hosts;
    this.#onHosts = this.#hosts.compile(world, reports.all);
    this.#prefixes = world.cidrs
      .map(({ id, prefix }) => ({ id, text: prefix, prefix: parsePrefix(prefix)! }))
      .sort((a, b) => b.prefix.length - a.prefix.length);
  }

  readonly numbers: PrefixNumbers;

  /** The verdict, or why there is none. */
  judge(flow: Observed): Judged | string {
    const from = this.end(flow.from);
    const to = this.end(flow.to);
    if (from === undefined || to === undefined) {
      const { workload, identity } = from === undefined ? flow.from : flow.to;
      return `${workload ?? `identity ${identity ?? '?'}`} is not registered any more`;
    }
    const port = flow.icmpType ?? flow.port;
    const verdict = lookupVerdict(this.#compiledFor(flow.host), {
      from: toIdentityId(from.identity),
      to: toIdentityId(to.identity),
      protocol: protocolNumber(flow.protocol),
      ...(port !== undefined && { port }),
    });
    return { ...verdict, from, to };
  }

  /** As on that host: each has a policy of its own for what is no workload. */
  #compiledFor(host: string | undefined): Pick<ReadonlyMap<number, CompiledIdentity>, 'get'> {
    const all = this.#compiler.all();
    if (host === undefined) return all;
    const own = this.#onHosts.get(host);
    return { get: (id) => (id === HOST ? own : all.get(toIdentityId(id))) };
  }

  end({ workload, identity, ip }: ObservedEnd): JudgedEnd | undefined {
    const stored = workload === undefined ? undefined : this.#state.workloads.get(workload);
    if (stored !== undefined) return { identity: stored.identity, name: workload! };
    if (workload !== undefined) return undefined;
    if (ip !== undefined && (identity === undefined || isOutside(identity) || identity === RESERVED.world))
      return this.#placeOf(ip);
    if (identity === undefined) return undefined;
    const reserved = reservedName(identity);
    if (reserved !== undefined) return { identity, name: reserved };
    const known = this.#state.identities.get(String(identity));
    return known?.workloads[0] === undefined ? undefined : { identity, name: known.workloads[0] };
  }

  #placeOf(ip: string): JudgedEnd | undefined {
    if (!this.#places.has(ip)) this.#places.set(ip, this.#longest(ip));
    return this.#places.get(ip);
  }

  #longest(ip: string): JudgedEnd | undefined {
    const bytes = parseAddress(ip);
    if (bytes === undefined) return undefined;
    const here = addressPrefix(bytes);
    const found = this.#prefixes.find(({ prefix }) => contains(prefix, here));
    if (found !== undefined) return { identity: found.id, name: found.text };
    const name: ReservedName = here.family === 4 ? 'world-ipv4' : 'world-ipv6';
    return { identity: RESERVED[name], name };
  }
}
