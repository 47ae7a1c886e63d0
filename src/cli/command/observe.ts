/** `postern observe`: flows, one line each, as they were or as they come. */
import { DIRECTIONS, FLOW_EVENTS, VERDICTS } from '../../api/flow.ts';
import type { Client } from '../client.ts';
import type { Call, Command, Flag } from '../command.ts';
import { type FlowLike, flowLine } from '../flow-line.ts';
import { yamlText } from '../out.ts';

export const FLOW_FLAGS: readonly Flag[] = [
  { name: 'follow', short: 'f', summary: 'go on with new flows as they happen' },
  { name: 'workload', value: 'NS/NAME', summary: 'either end is this workload', complete: 'workload' },
  { name: 'from', value: 'NS/NAME', summary: 'the source is this workload', complete: 'workload' },
  { name: 'to', value: 'NS/NAME', summary: 'the destination is this workload', complete: 'workload' },
  { name: 'label', short: 'l', value: 'LABEL', summary: 'either end has this label, such as app=web' },
  { name: 'identity', value: 'NUMBER', summary: 'either end has this identity', complete: 'identity' },
  { name: 'verdict', value: 'VERDICT', choices: VERDICTS, summary: 'what was decided' },
  { name: 'port', value: 'NUMBER', summary: 'port of the destination' },
  { name: 'protocol', value: 'PROTOCOL', choices: ['TCP', 'UDP', 'SCTP', 'ICMP', 'ICMPv6'], summary: 'transport' },
  { name: 'direction', value: 'DIRECTION', choices: DIRECTIONS, summary: 'the side that decided' },
  { name: 'host', value: 'NAME', summary: 'seen on this host', complete: 'host' },
  { name: 'process', value: 'EXE', summary: 'the executable of either end' },
  { name: 'event', value: 'EVENT', choices: FLOW_EVENTS, summary: 'what happened' },
  { name: 'rule', value: 'RULE', summary: "the rule that decided: 'cnp/shop/backend ingress[0]'" },
  { name: 'since', value: 'TIME', summary: 'duration (5m) or RFC 3339 time' },
  { name: 'until', value: 'TIME', summary: 'duration (5m) or RFC 3339 time' },
  { name: 'last', value: 'COUNT', summary: 'the newest of them (default 20, unless --since or --until says else)' },
];

const FILTERS = [
  'workload',
  'from',
  'to',
  'label',
  'identity',
  'verdict',
  'port',
  'protocol',
  'direction',
  'host',
  'process',
  'event',
  'rule',
  'since',
  'until',
];

export const OBSERVE: Command = {
  path: ['observe'],
  summary: 'Show flows: who talked to whom, what was denied, and by which rule',
  args: [],
  flags: FLOW_FLAGS,
  help: 'Each line: time, verdict, event, direction, source -> destination (process), reason and rule. -o json prints one JSON object a line.',
  examples: [
    ['postern observe -f', 'everything, as it happens'],
    ['postern observe -f --verdict DROPPED', 'each denial'],
    ['postern observe --to shop/backend --since 1h', 'who called the backend in the last hour'],
    ["postern observe --last 1000 -o json | jq -r '.source.workload' | sort | uniq -c", 'count the callers'],
  ],
  run: (call) => observe(call.server, call),
};

/** The server's and the agent's /v1/flows take the same parameters. */
export async function observe(client: Client, call: Call): Promise<number> {
  const { out } = call;
  const query = toFlowQuery(call);
  const isFollowing = call.on('follow');
  const request = {
    method: 'GET',
    path: '/v1/flows',
    query: isFollowing ? [...query, ['follow', 'true'] as const] : query,
    headers: { accept: 'application/x-ndjson' },
    ...(isFollowing && { follow: true as const }),
  } as const;
  let count = 0;
  for await (const line of client.lines(request)) {
    count++;
    if (out.format === 'json') await out.print(line);
    else if (out.format === 'yaml') await out.print(`---\n${yamlText(JSON.parse(line))}`);
    else await out.print(flowLine(JSON.parse(line) as FlowLike, out.colour));
  }
  if (count === 0 && !isFollowing) out.note(query.length > 1 ? 'no flows like that' : 'no flows yet');
  return 0;
}

export function toFlowQuery(call: Pick<Call, 'text' | 'on'>): [string, string][] {
  const query: [string, string][] = [];
  for (const name of FILTERS) {
    const value = call.text(name);
    if (value !== undefined) query.push([name, value]);
  }
  const last =
    call.text('last') ??
    (call.text('since') === undefined && call.text('until') === undefined && !call.on('follow') ? '20' : undefined);
  if (last !== undefined) query.push(['last', last]);
  return query;
}
