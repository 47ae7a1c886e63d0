/** One flow as one line, and a lost-events marker likewise. No name is cut; what is absent is left out. */
import type { Flow, FlowEnd } from '../api/flow.ts';
import type { Out } from './out.ts';
import { bytes, clock, span } from './time.ts';

export function flowLine(flow: Flow, colour: Out['colour']): string {
  const time = colour('dim', flow.time ? clock(flow.time) : '-');
  if (flow.event === 'lost')
    return `${time}  ${colour('yellow', `${flow.count ?? '?'} events lost${flow.where ? ` (${flow.where})` : ''}`)}`;
  if (flow.event === 'drift') {
    const on = flow.host ? `  ${colour('dim', `on ${flow.host}`)}` : '';
    return `${time}  ${colour('yellow', 'DRIFT'.padEnd(9))}  ${peer(flow.source, '', colour)} ${flow.detail ?? ''}${on}`;
  }
  const verdict = (flow.verdict ?? '-').padEnd(9);
  const protocol = `${flow.protocol ?? ''}${flow.icmp ? ` type ${flow.icmp.type}` : ''}`;
  const line = [
    time,
    colour(VERDICT_COLOURS[flow.verdict ?? ''] ?? 'dim', verdict),
    (flow.event ?? '-').padEnd(8),
    (flow.direction ?? '-').padEnd(7),
    `${peer(flow.source, '', colour)} -> ${peer(flow.destination, protocol, colour)}`,
  ];
  const tail = why(flow);
  if (tail) line.push(tail);
  if (flow.host) line.push(colour('dim', `on ${flow.host}`));
  return line.join('  ');
}

const VERDICT_COLOURS: Readonly<Record<string, 'red' | 'green' | 'yellow'>> = {
  FORWARDED: 'green',
  DROPPED: 'red',
  ERROR: 'red',
  AUDIT: 'yellow',
};

/** `shop/frontend 10.0.0.5:41234 (curl 812)` */
function peer(end: FlowEnd | undefined, protocol: string, colour: Out['colour']): string {
  if (!end) return '?';
  const parts = [colour('bold', peerName(end))];
  const address = end.ip === undefined ? '' : end.ip.includes(':') && end.port !== undefined ? `[${end.ip}]` : end.ip;
  const port = end.port === undefined ? '' : `:${end.port}`;
  if (address || port) parts.push(`${address}${port}${protocol ? `/${protocol}` : ''}`);
  const { process } = end;
  if (process)
    parts.push(
      colour(
        'dim',
        `(${[process.exe?.split('/').at(-1), process.pid].filter((part) => part !== undefined).join(' ')})`,
      ),
    );
  return parts.join(' ');
}

/** The workload, else the prefix or the reserved name of the identity, else its number. */
export function peerName(end: FlowEnd): string {
  if (end.workload) return end.workload;
  const label =
    end.labels?.find((text) => text.startsWith('cidr:')) ?? end.labels?.find((text) => text.startsWith('reserved:'));
  if (label) return label.slice(label.indexOf(':') + 1);
  if (end.identity !== undefined) return RESERVED[end.identity] ?? `identity ${end.identity}`;
  return 'unknown';
}

const RESERVED: Readonly<Record<number, string>> = {
  0: 'unknown',
  1: 'host',
  2: 'world',
  3: 'unmanaged',
  4: 'health',
  5: 'init',
  6: 'remote-node',
  7: 'kube-apiserver',
  8: 'ingress',
  9: 'world-ipv4',
  10: 'world-ipv6',
};

function why(flow: Flow): string {
  const parts: string[] = [];
  if (flow.verdict !== 'FORWARDED' && flow.dropReason) parts.push(flow.dropReason);
  if (flow.rule) parts.push(`by ${flow.rule}`);
  if (flow.bytes) parts.push(`sent ${bytes(flow.bytes.sent ?? 0)}, received ${bytes(flow.bytes.received ?? 0)}`);
  if (flow.durationMs !== undefined) parts.push(`in ${span(flow.durationMs)}`);
  if (flow.provisional) parts.push('provisional');
  return parts.join(' ');
}
