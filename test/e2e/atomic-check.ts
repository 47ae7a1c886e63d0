/**
 * Whether a recording of traffic under changing policy could have come from a host on which every verdict is wholly of one
 * revision: either the one that was in force or the one that was coming, and says which.
 *
 * 1. A revision may have been in force from just before its PUT until the host was seen to have applied the next one. The
 *    next PUT waits for that: at every moment these are two at most.
 * 2. A flow names its revision, one that may have been in force when it was judged. What it says (verdict, rules, reason)
 *    is what the oracle says of that revision, word by word.
 * 3. An attempt that got through was allowed by egress under some revision of its time, and by ingress under some. One
 *    that did not was denied under some.
 * 4. Every attempt has a flow that says so, but for a datagram that continues an earlier conversation (the same ports
 *    again); every flow belongs to an attempt, or is the kernel's own answer after one.
 */
import type { Flow } from '../../src/api/flow.ts';
import { type IdentityId, RESERVED } from '../../src/core/identity.ts';
import { PROTOCOLS } from '../../src/core/protocol.ts';
import { type SideVerdict, type Verdict, verdict, worse } from '../../src/core/verdict.ts';
import type { World } from '../../src/core/world.ts';

/** Times in microseconds since 1970. */
export interface Era {
  readonly revision: number;
  readonly world: World;
  readonly fromUs: number;
  readonly untilUs: number;
}

export interface Attempt {
  /** A workload, or the address of a client outside. */
  readonly client: string;
  readonly protocol: 'tcp' | 'udp' | 'udpc';
  readonly address: string;
  readonly port: number;
  readonly sourcePort: number;
  readonly beginUs: number;
  readonly endUs: number;
  readonly result: string;
}

export interface Recording {
  readonly eras: readonly Era[];
  readonly attempts: readonly Attempt[];
  readonly flows: readonly Flow[];
  /** Workload → identity. */
  readonly identities: ReadonlyMap<string, IdentityId>;
  /** Which workload serves an address and port; undefined = none. */
  readonly server: (address: string, port: number) => string | undefined;
  /** Whether a workload runs on this host: of others its policy is not asked here. */
  readonly isHere: (workload: string) => boolean;
}

export interface Findings {
  readonly wrong: readonly string[];
  /** What was seen, so that a recording of nothing does not pass for a proof. */
  readonly attempts: Readonly<Record<string, number>>;
  readonly flows: Readonly<Record<string, number>>;
  /** Attempts and flows of which two revisions in question answer differently. */
  readonly contested: number;
}

/** Clocks of the parties, and what passes between a judgement and its stamp. */
const TOLERANCE_US = 3_000;
const THROUGH: ReadonlySet<string> = new Set(['ok']);
const DENIED: ReadonlySet<string> = new Set(['EPERM', 'silence', 'mute', 'reset']);
const CHECKED: ReadonlySet<string> = new Set(['connect', 'accept', 'exchange', 'deny', 'audit', 'close', 'fail']);

export function checkRecording(recording: Recording): Findings {
  const { eras, attempts, flows } = recording;
  const wrong: string[] = [];
  const seen = { attempts: {} as Record<string, number>, flows: {} as Record<string, number> };
  const count = (into: Record<string, number>, key: string): void => {
    into[key] = (into[key] ?? 0) + 1;
  };
  let contested = 0;
  const ask = createOracle(recording);
  const between = (from: number, to: number): Era[] =>
    eras.filter(({ fromUs, untilUs }) => fromUs - TOLERANCE_US <= to && untilUs + TOLERANCE_US >= from);

  const byKey = Map.groupBy(attempts, keyOfAttempt);
  /** The kernel answers for a socket that is gone: a late packet of its connection is the host's. */
  const lateOf = (flow: Flow): Attempt[] =>
    flow.source?.identity !== RESERVED.host
      ? []
      : attempts
          .filter(
            (attempt) =>
              keyOfFlow({ ...flow, source: { ...flow.source, workload: attempt.client } }) === keyOfAttempt(attempt),
          )
          .filter(({ endUs }) => endUs <= timeUs(flow))
          .map((attempt) => ({ ...attempt, client: HOST, beginUs: timeUs(flow), endUs: timeUs(flow) }));
  const flowsOf = new Map<Attempt, Flow[]>();
  for (const flow of flows) {
    if (!CHECKED.has(flow.event)) continue;
    const at = timeUs(flow);
    // Two, when a port is used again while the end of the connection before may still be told.
    const mine = (byKey.get(keyOfFlow(flow)) ?? lateOf(flow)).filter(
      ({ beginUs, endUs }) => beginUs - TOLERANCE_US <= at && at <= endUs + TOLERANCE_US + SETTLE_US,
    );
    if (mine.length === 0) {
      wrong.push(`no attempt explains ${flowText(flow)}`);
      continue;
    }
    count(seen.flows, `${flow.event} ${flow.direction} ${flow.verdict}`);
    const reasons = mine.map((attempt) => {
      flowsOf.set(attempt, [...(flowsOf.get(attempt) ?? []), flow]);
      // A denial is stamped as it is judged; what was admitted may be told later.
      const possible = between(flow.event === 'deny' ? at : attempt.beginUs, at);
      if (differ(possible, (era) => JSON.stringify(ask(era, attempt)))) contested++;
      const why = contradiction(flow, possible, (era) => ask(era, attempt));
      return why && `${flowText(flow)}: ${why} (possible: ${possible.map(({ revision }) => revision)})`;
    });
    if (!reasons.includes(undefined)) wrong.push(reasons.at(-1)!);
  }
  for (const attempt of attempts) {
    count(seen.attempts, `${attempt.protocol} ${attempt.result}`);
    const possible = between(attempt.beginUs, attempt.endUs);
    const verdicts = possible.map((era) => ask(era, attempt));
    const egress = verdicts.map((one) => one.egress.verdict !== 'DROPPED');
    const ingress = verdicts.map((one) => one.ingress.verdict !== 'DROPPED');
    const mayPass = egress.includes(true) && ingress.includes(true);
    const mayFail = egress.includes(false) || ingress.includes(false);
    if (mayPass && mayFail) contested++;
    const text = () => `${attemptText(attempt)} (possible: ${possible.map(({ revision }) => revision)})`;
    if (THROUGH.has(attempt.result) ? !mayPass : !DENIED.has(attempt.result) || !mayFail)
      wrong.push(`${text()}: the oracle says ${mayPass ? 'it passes' : 'it does not pass'}`);
    const own = flowsOf.get(attempt) ?? [];
    const isTold = own.some((flow) =>
      THROUGH.has(attempt.result)
        ? flow.verdict !== 'DROPPED'
        : flow.verdict === 'DROPPED' || attempt.result !== 'EPERM',
    );
    const isContinued =
      own.length === 0 && attempt.protocol !== 'tcp' && byKey.get(keyOfAttempt(attempt))![0] !== attempt;
    if (!isTold && !isContinued) wrong.push(`${text()}: no flow says so, of ${own.length}`);
  }
  return { wrong, ...seen, contested };
}

/** A server's end of a connection may be closed this much later than its client's. */
const SETTLE_US = 500_000;

/** Why a flow cannot be: undefined = it can. */
function contradiction(flow: Flow, possible: readonly Era[], ask: (era: Era) => Verdict): string | undefined {
  if (flow.revision === undefined) return 'it names no revision';
  const era = possible.find(({ revision }) => revision === flow.revision);
  if (era === undefined) return `revision ${flow.revision} was not in force`;
  const { egress, ingress } = ask(era);
  const rules = flow.rules ?? (flow.rule === undefined ? [] : [flow.rule]);
  const side = flow.direction === 'EGRESS' ? egress : ingress;
  if (flow.verdict === 'DROPPED') {
    if (side.verdict !== 'DROPPED') return `revision ${era.revision} does not deny it: ${sideText(side)}`;
    if (side.reason !== flow.dropReason) return `revision ${era.revision} denies it as ${side.reason}`;
    return sameRules(rules, side) ? undefined : `revision ${era.revision} denies it by ${side.rules}`;
  }
  if (flow.verdict === 'AUDIT') {
    if (side.verdict !== 'AUDIT') return `revision ${era.revision} does not audit it: ${sideText(side)}`;
    return sameRules(rules, side) ? undefined : `revision ${era.revision} audits it by ${side.rules}`;
  }
  if (admits(side, rules)) return undefined;
  // Where the sender's side has no rule, the receiver's is told.
  const isFree = flow.direction === 'EGRESS' && possible.some((other) => ask(other).egress.rules.length === 0);
  if (isFree && admits(ingress, rules)) return undefined;
  return `revision ${era.revision} says egress ${sideText(egress)}, ingress ${sideText(ingress)}`;
}

/** In audit the rule is told by the flow of its own. */
function admits(side: SideVerdict, rules: readonly string[]): boolean {
  if (side.verdict === 'DROPPED') return false;
  return sameRules(rules, side) || (side.verdict === 'AUDIT' && rules.length === 0);
}

function sameRules(rules: readonly string[], side: SideVerdict): boolean {
  return rules.length === side.rules.length && rules.every((rule, i) => rule === side.rules[i]);
}

/** The oracle's answer, asked once for each world and kind of connection. */
function createOracle({ identities, server, isHere }: Recording): (era: Era, attempt: Attempt) => Verdict {
  const known = new WeakMap<World, Map<string, Verdict>>();
  const endOf = (name: string | undefined, address: string) => {
    const id = name === HOST ? (RESERVED.host as IdentityId) : identities.get(name ?? '');
    if (id !== undefined) return { id };
    return { id: (address.includes(':') ? RESERVED['world-ipv6'] : RESERVED['world-ipv4']) as IdentityId, address };
  };
  return ({ world }, { client, protocol, address, port }) => {
    const answers = known.get(world) ?? new Map<string, Verdict>();
    known.set(world, answers);
    const key = `${client} ${protocol === 'tcp'} ${address} ${port}`;
    let answer = answers.get(key);
    if (answer === undefined) {
      const from = endOf(client, client);
      const to = endOf(server(address, port), address);
      const whole = verdict(world, {
        from: from.id,
        to: to.id,
        ...('address' in from && { fromAddress: from.address }),
        ...('address' in to && { toAddress: to.address }),
        protocol: protocol === 'tcp' ? PROTOCOLS.TCP : PROTOCOLS.UDP,
        port,
      });
      const egress = isHere(client) ? whole.egress : ELSEWHERE;
      const ingress = isHere(server(address, port) ?? '') ? whole.ingress : ELSEWHERE;
      answer = { verdict: worse(egress.verdict, ingress.verdict), egress, ingress };
      answers.set(key, answer);
    }
    return answer;
  };
}

const HOST = 'host';
const ELSEWHERE: SideVerdict = { verdict: 'FORWARDED', reason: 'NOT_ENFORCED', rules: [] };

function differ(possible: readonly Era[], answer: (era: Era) => string): boolean {
  return new Set(possible.map(answer)).size > 1;
}

function keyOfAttempt({ client, protocol, address, port, sourcePort }: Attempt): string {
  return `${client} ${protocol === 'tcp' ? 'TCP' : 'UDP'} ${sourcePort} ${address} ${port}`;
}

function keyOfFlow({ protocol, source, destination }: Flow): string {
  return `${source?.workload ?? source?.ip} ${protocol} ${source?.port} ${destination?.ip} ${destination?.port}`;
}

export function timeUs({ time }: Flow): number {
  return Date.parse(time) * 1000 + Number(time.slice(23, 26));
}

function sideText({ verdict: word, rules }: SideVerdict): string {
  return `${word} by ${rules.join(', ') || 'no rule'}`;
}

function attemptText({ client, protocol, address, port, sourcePort, beginUs, endUs, result }: Attempt): string {
  return `${client}:${sourcePort} -> ${protocol} ${address} ${port} ${result} at ${new Date(beginUs / 1000).toISOString()} for ${endUs - beginUs} us`;
}

function flowText(flow: Flow): string {
  const { event, verdict: word, direction, protocol, source, destination, revision, rule, time } = flow;
  const end = (one: Flow['source']) => `${one?.workload ?? one?.ip}:${one?.port}`;
  return `${event} ${direction} ${word} ${protocol} ${end(source)} -> ${end(destination)} by ${rule}, revision ${revision}, ${time}`;
}
