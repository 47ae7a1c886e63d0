/** `postern observe`: flows, one line each, as they were or as they come. */
import { DIRECTIONS, FLOW_EVENTS, type Flow, VERDICTS } from '../../api/flow.ts';
import type { Call, Command, Flag } from '../command.ts';
import { Failure } from '../failure.ts';
import { flowLine } from '../flow-line.ts';
import { followFlows, readFlows } from '../flow-read.ts';
import { yamlText } from '../out.ts';

export const FOLLOW: Flag = { name: 'follow', short: 'f', summary: 'go on with new flows as they happen' };

/** Parameters of /v1/flows; several values of one are OR. */
const FILTERS: readonly Flag[] = [
  {
    name: 'workload',
    value: 'NS/NAME',
    many: true,
    summary: 'either end is this workload; shop/* = any of shop',
    complete: 'workload',
  },
  {
    name: 'from',
    value: 'PEER',
    many: true,
    summary: 'the source: workload, address, prefix, label, identity, or a name such as world',
    complete: 'workload',
  },
  { name: 'to', value: 'PEER', many: true, summary: 'the destination, likewise', complete: 'workload' },
  { name: 'label', short: 'l', value: 'LABEL', many: true, summary: 'either end has this label, such as app=web' },
  { name: 'identity', value: 'NUMBER', many: true, summary: 'either end has this identity', complete: 'identity' },
  { name: 'verdict', value: 'VERDICT', many: true, choices: VERDICTS, summary: 'what was decided' },
  { name: 'port', value: 'NUMBER', many: true, summary: 'port of the destination' },
  { name: 'protocol', value: 'PROTOCOL', many: true, summary: 'TCP, UDP, ICMP, ...' },
  { name: 'direction', value: 'DIRECTION', choices: DIRECTIONS, summary: 'the side that decided' },
  { name: 'host', value: 'NAME', many: true, summary: 'seen on this host', complete: 'host' },
  { name: 'process', value: 'PROCESS', many: true, summary: 'pid, path or name of the program at either end' },
  { name: 'event', value: 'EVENT', many: true, choices: FLOW_EVENTS, summary: 'what happened' },
  {
    name: 'rule',
    value: 'RULE',
    many: true,
    summary: "the rule or policy that decided: cnp/shop/backend, 'cnp/shop/backend ingress[0]'",
  },
  { name: 'drop-reason', value: 'REASON', many: true, summary: 'such as POLICY_DENIED' },
  { name: 'since', value: 'TIME', summary: 'how long ago (5m, 24h) or a time (2026-11-24T09:30:00Z)' },
  { name: 'until', value: 'TIME', summary: 'likewise' },
];

export const LAST: Flag = { name: 'last', value: 'COUNT', summary: 'the newest so many' };

/** Shown when neither --last nor a time is given; and at most, when a time is. */
const FEW = 20;
const MOST = 1000;

export const OBSERVE: Command = {
  path: ['observe'],
  summary: 'Show flows: who talked to whom, what was denied, and by which rule',
  args: [],
  flags: [FOLLOW, ...FILTERS, LAST],
  help: [
    'Each line: time, verdict, event, direction, source -> destination (process), reason and rule. -o json prints one JSON object',
    'a line. All filters must hold; a filter that is given twice, or with commas, holds when one of its values does.',
    `Without --last: the newest ${FEW}, or with --since or --until the newest ${MOST}; with -f only what comes, and what --since asks for.`,
  ].join('\n'),
  examples: [
    ['postern observe -f', 'everything, as it happens'],
    ['postern observe -f --verdict DROPPED,AUDIT', 'each denial, also those that only would be one'],
    ['postern observe --to shop/backend --since 1h', 'who called the backend in the last hour'],
    ["postern observe --last 1000 -o json | jq -r '.source.workload' | sort | uniq -c", 'count the callers'],
  ],
  run: async (call) => {
    const query = toFlowQuery(call);
    const last = toCount(call.text('last'));
    if (call.on('follow')) {
      const before: [string, string][] = last === undefined ? [] : [['last', String(last)]];
      for await (const flow of followFlows(call.server, [...query, ...before])) await printFlow(call, flow);
      throw new Failure(3, 'the server ended the stream');
    }
    const isTimed = call.text('since') !== undefined || call.text('until') !== undefined;
    const count = last ?? (isTimed ? MOST : FEW);
    const { flows, hasMore } = await readFlows(call.server, query, count);
    for (const flow of flows) await printFlow(call, flow);
    if (flows.length === 0) call.out.note(query.length > 0 ? 'no flows like that' : 'no flows yet');
    else if (hasMore && isTimed && last === undefined)
      call.out.note(`the newest ${count} of more: --last COUNT shows more, filters show fewer`);
    return 0;
  },
};

export async function printFlow({ out }: Call, flow: Flow): Promise<void> {
  if (out.format === 'json') await out.print(JSON.stringify(flow));
  else if (out.format === 'yaml') await out.print(`---\n${yamlText(flow)}`);
  else await out.print(flowLine(flow, out.colour));
}

/** Failure 2 for what is no number above 0. */
export function toCount(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new Failure(2, `--last "${text}": expected a number, 1 to 9999999`);
  return Number(text);
}

function toFlowQuery(call: Call): [string, string][] {
  return FILTERS.flatMap((flag): [string, string][] => {
    const values = call.list(flag.name);
    return values.length === 0 ? [] : [[flag.name === 'drop-reason' ? 'dropReason' : flag.name, values.join(',')]];
  });
}
