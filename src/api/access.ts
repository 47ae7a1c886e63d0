/** `POST /v1/access:check`: may these two talk, and what decides? */
import * as v from 'valibot';
import { parseAddress } from '../core/cidr.ts';
import { DENIALS } from '../core/denial.ts';
import { ENTITIES } from '../core/policy-rule.ts';
import { object, oneOf } from './check.ts';
import { Labels } from './name.ts';

/** Protocols that a question may name; ICMP is ICMPv4. */
export const ASKED_PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132, ICMP: 1, ICMPV6: 58 } as const;

/**
 * One end, by exactly one of: `workload` (on `host`, where that matters), `labels` (of `namespace`, registered or not),
 * `selector` (every registered workload that it selects), `ip`, `host` alone (its own processes), `entity`.
 */
export const PeerBody = object({
  workload: v.optional(v.string()),
  namespace: v.optional(v.string()),
  labels: v.optional(Labels),
  selector: v.optional(v.string()),
  ip: v.optional(v.string()),
  /** With `ip`: of the address, as the destination's `port` of the question. */
  port: v.optional(v.pipe(v.number(), v.integer('must be an integer'))),
  host: v.optional(v.string()),
  entity: v.optional(oneOf(ENTITIES)),
});
export type PeerBody = v.InferOutput<typeof PeerBody>;

/** As on the command line: `shop/frontend`, `shop/frontend@web-1`, `10.0.0.5:443`, `world`, `shop:app=web`. */
const Peer = v.pipe(
  v.unknown(),
  v.transform((peer) => (typeof peer === 'string' ? parsePeerText(peer) : peer)),
  PeerBody,
  v.check(
    (peer) => KINDS.filter((kind) => peer[kind] !== undefined).length === 1 || isHostAlone(peer),
    'must have exactly one of workload, labels, selector, ip, entity; or host alone',
  ),
);

const KINDS = ['workload', 'labels', 'selector', 'ip', 'entity'] as const;

function isHostAlone(peer: PeerBody): boolean {
  return peer.host !== undefined && Object.keys(peer).length === 1;
}

export const AccessQuestion = object(
  {
    from: Peer,
    to: Peer,
    /** A number, or the name that the destination's registration gives to one. */
    port: v.optional(
      v.union(
        [v.pipe(v.number(), v.integer('must be an integer'), v.minValue(0), v.maxValue(65535)), v.string()],
        'must be a number, 0 to 65535, or the name of a port',
      ),
    ),
    protocol: v.optional(
      v.pipe(
        v.string(),
        v.transform((text) => (text.toUpperCase() === 'ICMPV4' ? 'ICMP' : text.toUpperCase())),
        oneOf(Object.keys(ASKED_PROTOCOLS) as (keyof typeof ASKED_PROTOCOLS)[]),
      ),
    ),
    icmp: v.optional(object({ type: v.number(), code: v.optional(v.number()) })),
  },
  ['http', 'dns'],
);
export type AccessQuestion = v.InferOutput<typeof AccessQuestion>;

/** `rule`, the first of `rules` where several qualify, and in `why` what it says; or the reason of the `default`. */
export const AccessReason = object({
  rule: v.optional(v.string()),
  rules: v.optional(v.pipe(v.array(v.string()), v.readonly())),
  why: v.optional(v.string()),
  default: v.optional(v.string()),
});

const VERDICT = oneOf(['FORWARDED', 'DROPPED', 'AUDIT']);
export const AccessSide = object({
  verdict: VERDICT,
  reason: v.string(),
  by: AccessReason,
  /** How what is dropped feels to the program: said by the policy that decided; absent = as the host has it. */
  denial: v.optional(oneOf(DENIALS)),
});
export type AccessSide = v.InferOutput<typeof AccessSide>;

/** What an end of the question was taken for. */
export const AccessEnd = object({
  name: v.string(),
  identity: v.optional(v.number()),
  labels: v.optional(v.pipe(v.array(v.string()), v.readonly())),
  ip: v.optional(v.string()),
  host: v.optional(v.string()),
});
export type AccessEnd = v.InferOutput<typeof AccessEnd>;

const Judged = { verdict: VERDICT, from: AccessEnd, to: AccessEnd, egress: AccessSide, ingress: AccessSide };

export const AccessAnswer = object({
  ...Judged,
  port: v.optional(v.number()),
  protocol: v.string(),
  /** The revision that was asked. */
  revision: v.number(),
  /** Where an end stands for several and they are not all answered alike: each; above is the first that is dropped. */
  pairs: v.optional(v.array(object(Judged))),
  notes: v.array(v.string()),
});
export type AccessAnswer = v.InferOutput<typeof AccessAnswer>;

/** A word of the command line as the object of the API; what it cannot be is left for the server to refuse. */
export function parsePeerText(text: string): PeerBody {
  if ((ENTITIES as readonly string[]).includes(text)) return { entity: text as NonNullable<PeerBody['entity']> };
  if (text.startsWith('host:')) return { host: text.slice('host:'.length) };
  if (parseAddress(text) !== undefined) return { ip: text };
  const address = /^(?:\[([^\]]+)\]|([\d.]+))(?::(\d{1,5}))?$/.exec(text);
  if (address !== null) {
    const [, v6, v4, port] = address;
    return { ip: v6 ?? v4!, ...(port !== undefined && { port: Number(port) }) };
  }
  const workload = /^([^/@=\s]+\/[^/@=\s]+)(?:@(.+))?$/.exec(text);
  if (workload !== null) return { workload: workload[1]!, ...(workload[2] !== undefined && { host: workload[2] }) };
  return parseLabelsText(text);
}

/** `shop:app=web,tier=a` = whoever has just these labels in shop; anything else selects among what is registered. */
function parseLabelsText(text: string): PeerBody {
  const [, namespace, rest = text] = /^([a-z0-9][-a-z0-9]*):(.*)$/.exec(text) ?? [];
  const pairs = rest.split(',').map((part) => /^\s*([^=!\s]+)=([^=\s]*)\s*$/.exec(part));
  if (namespace !== undefined && pairs.every((pair) => pair !== null))
    return { namespace, labels: Object.fromEntries(pairs.map((pair) => [pair![1]!, pair![2]!])) };
  return { ...(namespace !== undefined && { namespace }), selector: rest };
}
