/** A rule in the words of its document: `allows app=web on 6379/TCP`. For explanations; nothing parses it. */
import { CLUSTER_KEY, NAMESPACE_KEY } from './label.ts';
import type { Peer, PolicyRule } from './policy-rule.ts';
import { ICMP, ICMPV6, PORT_PROTOCOLS, PORTLESS, type PortSet, PROTOCOLS } from './protocol.ts';
import { formatSelector, type Requirement, type Selector } from './selector.ts';

/** @param namespace the policy's own: a selector that names just this one does not say so */
export function ruleText(rule: PolicyRule, namespace: string | undefined): string {
  const verb = rule.deny ? 'denies' : 'allows';
  const ports = rule.ports === undefined ? '' : ` on ${portsText(rule.ports)}`;
  return `${verb} ${peersText(rule.peers, namespace)}${ports}`;
}

export function peersText(peers: readonly Peer[] | undefined, namespace: string | undefined): string {
  if (peers === undefined) return 'everyone';
  return listText(
    peers.map((peer) => peerText(peer, namespace)),
    'nobody',
  );
}

function peerText(peer: Peer, namespace: string | undefined): string {
  if (peer.type === 'endpoints') return selectorText(peer.selector, namespace);
  if (peer.type === 'entity') return peer.entity;
  if (peer.type === 'cidr-group') {
    const groups =
      typeof peer.groups === 'string' ? `group ${peer.groups}` : `groups with ${formatSelector(peer.groups)}`;
    return peer.except.length === 0 ? groups : `${groups} except ${peer.except.join(', ')}`;
  }
  return peer.except.length === 0 ? peer.prefix : `${peer.prefix} except ${peer.except.join(', ')}`;
}

/** `app=web`, with the namespace only where it is another. */
export function selectorText(selector: Selector, namespace: string | undefined): string {
  const isOwn = ({ key, operator, values }: Requirement) =>
    (key === NAMESPACE_KEY && operator === 'In' && values.join() === namespace) || key === CLUSTER_KEY;
  const requirements = selector.requirements.filter((requirement) => !isOwn(requirement));
  if (requirements.length === 0) return namespace === undefined ? 'every workload' : `every workload of ${namespace}`;
  return formatSelector({ requirements })
    .replaceAll(/(^|,|!)any:/g, '$1')
    .replaceAll(`k8s:${NAMESPACE_KEY}`, 'namespace');
}

export function portsText(ports: readonly PortSet[]): string {
  return listText(ports.map(portText), 'no port');
}

const NAMES = new Map<number, string>(
  Object.entries({ ...PROTOCOLS, ...PORTLESS, ICMP, ICMPv6: ICMPV6 }).map(([name, number]) => [number, name]),
);
const WHOLE: readonly number[] = Object.values(PORTLESS);

function portText(set: PortSet): string {
  const protocols =
    set.protocols.length === PORT_PROTOCOLS.length ? 'ANY' : set.protocols.map((p) => NAMES.get(p)).join('|');
  if ('name' in set) return `${set.name}/${protocols}`;
  if (set.protocols.some((protocol) => WHOLE.includes(protocol))) return protocols;
  if (set.protocols.some((protocol) => protocol === ICMP || protocol === ICMPV6))
    return `${protocols} type ${set.from}`;
  if (set.from === 0 && set.to === 65535) return `every port of ${protocols}`;
  return `${set.from}${set.to === set.from ? '' : `-${set.to}`}/${protocols}`;
}

const SHOWN = 4;

function listText(parts: readonly string[], none: string): string {
  if (parts.length === 0) return none;
  const more = parts.length - SHOWN;
  return more > 0 ? `${parts.slice(0, SHOWN).join(', ')} and ${more} more` : parts.join(' or ');
}
