import { FLOW_PROTOCOLS, type Flow } from '../api/flow.ts';
import { isOutside, RESERVED } from '../core/identity.ts';
import { addressText } from '../datapath/events.ts';
import { DropReason, type FlowEvent, FlowFlag, FlowKind } from '../datapath/postern.skel.ts';
import { type FlowNames, toFlowEnd } from './flow-names.ts';

const EVENTS: Readonly<Record<number, NonNullable<Flow['event']>>> = {
  [FlowKind.FLOW_CONNECT]: 'connect',
  [FlowKind.FLOW_ACCEPT]: 'accept',
  [FlowKind.FLOW_DENY]: 'deny',
  [FlowKind.FLOW_AUDIT]: 'audit',
  [FlowKind.FLOW_CLOSE]: 'close',
  [FlowKind.FLOW_FAIL]: 'fail',
  [FlowKind.FLOW_EXCHANGE]: 'exchange',
};

const REASONS: Readonly<Record<number, string>> = {
  [DropReason.REASON_MAP_MISS]: 'MAP_MISS',
  [DropReason.REASON_UNPARSED]: 'UNPARSED',
  [DropReason.REASON_SOCKET_TYPE]: 'SOCKET_TYPE',
  [DropReason.REASON_PORT_OWNED]: 'PORT_OWNED',
  [DropReason.REASON_POLICY_DENIED]: 'POLICY_DENIED',
  [DropReason.REASON_POLICY_DENY]: 'POLICY_DENY',
};

const REVOKED = FlowFlag.FLOW_REVOKED;

/** One event of the kernel as the flow that a person reads. */
export function toFlow(event: FlowEvent, names: FlowNames): Flow {
  const rules = names.rules(event.rule);
  const revision = names.revision(event, names.wallUs(event.header.time_ns));
  const isClose = event.kind === FlowKind.FLOW_CLOSE;
  // ICMP's type and code come in the places of the ports; a type above 255 could not be read.
  const isIcmp = event.protocol === 1 || event.protocol === 58;
  return {
    time: toTime(names.wallUs(event.header.time_ns)),
    event: EVENTS[event.kind] ?? 'fail',
    verdict: event.verdict === 2 ? 'DROPPED' : event.verdict === 4 ? 'AUDIT' : 'FORWARDED',
    direction: event.direction === 1 ? 'INGRESS' : 'EGRESS',
    protocol: FLOW_PROTOCOLS[event.protocol] ?? String(event.protocol),
    ...(isIcmp && event.dport <= 255 ? { icmp: { type: event.dport, code: event.sport } } : {}),
    ...(event.reason === 0 ? {} : { dropReason: REASONS[event.reason] ?? String(event.reason) }),
    ...(rules[0] === undefined ? {} : { rule: rules[0] }),
    ...(rules.length > 1 ? { rules: [...rules] } : {}),
    ...(revision === undefined ? {} : { revision }),
    host: names.host,
    ...(isProvisional(event, names) ? { provisional: true } : {}),
    source: toFlowEnd(names, {
      identity: event.source_id,
      pid: event.source_tgid,
      ip: addressText(event.saddr),
      port: isIcmp ? 0 : event.sport,
      isLocal: event.source_tgid !== 0 || event.direction === 2 || !isOutside(event.source_id),
    }),
    destination: toFlowEnd(names, {
      identity: event.destination_id,
      pid: event.destination_tgid,
      ip: addressText(event.daddr),
      port: isIcmp ? 0 : event.dport,
      isLocal: event.destination_tgid !== 0 || event.direction === 1 || !isOutside(event.destination_id),
    }),
    ...(isClose
      ? {
          bytes: { sent: event.bytes_sent, received: event.bytes_received },
          durationMs: Math.round(event.duration_ns / 1000) / 1000,
          rttUs: event.rtt_us,
          retransmits: event.retransmits,
        }
      : {}),
    ...(event.flags & REVOKED ? { detail: 'revoked: the connection was open when its right ended' } : {}),
  };
}

/** An end of it was not known yet. */
function isProvisional(event: FlowEvent, { wasPending, wallUs }: FlowNames): boolean {
  if (event.source_id === RESERVED.init || event.destination_id === RESERVED.init) return true;
  const at = wallUs(event.header.time_ns);
  return [event.source_tgid, event.destination_tgid].some((pid) => pid !== 0 && wasPending(pid, at));
}

/** RFC 3339 UTC with microseconds. */
function toTime(wallUs: number): string {
  const ms = Math.floor(wallUs / 1000);
  return `${new Date(ms).toISOString().slice(0, -1)}${String(Math.floor(wallUs - ms * 1000)).padStart(3, '0')}Z`;
}
