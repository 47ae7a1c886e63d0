/** `postern policy check`: may these two talk, and which rule decides? */
import { type AccessAnswer, type AccessSide, ASKED_PROTOCOLS, parsePeerText } from '../../api/access.ts';
import type { Call, Command } from '../command.ts';
import { Failure } from '../failure.ts';
import { problemFailure } from '../problem.ts';
import { alignRows } from '../table.ts';

const PEER_HELP = [
  'PEER is one of: a workload (shop/frontend, on a host shop/frontend@web-1); an address (10.0.0.5:443); world, host, remote-node',
  'or another reserved name; the processes of a host that are no workload (host:web-1); labels that somebody may have some day',
  "(shop:app=web,tier=a); a selector of registered workloads ('app in (a,b)').",
].join('\n');

export const POLICY_CHECK: Command = {
  path: ['policy', 'check'],
  summary: 'Ask whether two may talk, and which rule decides, in both directions',
  args: [],
  flags: [
    { name: 'from', value: 'PEER', summary: 'who connects', complete: 'workload' },
    { name: 'to', value: 'PEER', summary: 'to whom', complete: 'workload' },
    {
      name: 'port',
      value: 'PORT',
      summary: 'of the destination: 6379, 53/udp, or the name that it has in the registration',
    },
    { name: 'protocol', value: 'PROTOCOL', choices: Object.keys(ASKED_PROTOCOLS), summary: 'TCP unless said' },
    { name: 'icmp-type', value: 'TYPE', summary: 'of ICMP, 0 to 255; an echo request unless said' },
    { name: 'exit-code', summary: 'exit 1 when the answer is no' },
  ],
  help: `${PEER_HELP}\nThe answer is of the policy that is wanted now; a named host that does not have it yet is told. Nothing is changed.`,
  examples: [
    ['postern policy check --from shop/frontend --to shop/backend --port 6379', 'yes or no, and why'],
    ['postern policy check --from shop/backend --to 192.0.2.7:443', 'to an address'],
    ['postern policy check --from shop:app=new --to shop/backend --port 6379', 'labels that nobody has yet'],
    ['postern policy check --from world --to shop/frontend --port 443 --exit-code', 'in a script'],
  ],
  run: async (call) => {
    const request = {
      method: 'POST',
      path: '/v1/access:check',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(toQuestion(call)),
    } as const;
    const got = await call.server.send(request);
    // nobody wrote the body: its lines mean nothing
    if (got.status !== 200) throw problemFailure(got, request, ({ path }) => path || undefined);
    const answer = JSON.parse(got.text) as AccessAnswer;
    if (call.out.format !== 'table') await call.out.value(answer);
    else await call.out.print(answerText(answer, call.out.colour));
    if (call.out.format === 'table') for (const note of answer.notes) call.out.note(`note: ${note}`);
    return call.on('exit-code') && answer.verdict === 'DROPPED' ? 1 : 0;
  },
};

function toQuestion(call: Call): object {
  const [from, to] = ['from', 'to'].map((name) => {
    const text = call.text(name);
    if (text === undefined || text.trim() === '') {
      const empty = text === undefined ? '' : ', which is empty';
      throw new Failure(2, `"postern policy check" needs --${name} PEER${empty}`, PEER_HELP.split('\n'));
    }
    return parsePeerText(text);
  });
  const port = parsePort(call.text('port'));
  const protocol = call.text('protocol') ?? port?.protocol;
  const icmp = call.text('icmp-type');
  if (icmp !== undefined && !/^\d{1,3}$/.test(icmp))
    throw new Failure(2, `--icmp-type "${icmp}": expected a number, 0 to 255`);
  return {
    from,
    to,
    ...(icmp !== undefined && { icmp: { type: Number(icmp) } }),
    ...(port !== undefined && { port: port.port }),
    ...(protocol !== undefined && { protocol }),
  };
}

function parsePort(text: string | undefined): { port: number | string; protocol?: string } | undefined {
  if (text === undefined) return undefined;
  const match = /^([a-z0-9](?:-?[a-z0-9])*)(?:\/(\w+))?$/i.exec(text);
  const number = Number(match?.[1]);
  if (match === null || number > 65535)
    throw new Failure(2, `--port "${text}": expected a number, 0 to 65535, or 53/udp, or the name of a port`);
  return { port: Number.isNaN(number) ? match[1]! : number, ...(match[2] !== undefined && { protocol: match[2] }) };
}

type Colour = Call['out']['colour'];
type Pair = Pick<AccessAnswer, 'verdict' | 'from' | 'to' | 'egress' | 'ingress'>;

function answerText(answer: AccessAnswer, colour: Colour): string {
  const what = answer.port === undefined ? answer.protocol : `${answer.port}/${answer.protocol}`;
  return (answer.pairs ?? [answer]).map((pair) => pairText(pair, what, colour)).join('\n\n');
}

function pairText({ verdict, from, to, egress, ingress }: Pair, what: string, colour: Colour): string {
  const rows = [
    ['  egress', mark(egress.verdict, colour), reasonText(egress)],
    ['  ingress', mark(ingress.verdict, colour), reasonText(ingress)],
  ];
  return [`${mark(verdict, colour)}  ${from.name} -> ${to.name}  ${what}`, ...alignRows(rows)].join('\n');
}

function mark(verdict: AccessAnswer['verdict'], colour: Colour): string {
  const colours = { FORWARDED: 'green', DROPPED: 'red', AUDIT: 'yellow' } as const;
  return colour(colours[verdict], verdict);
}

function reasonText({ by: { rule, rules = [], why, default: reason }, denial }: AccessSide): string {
  if (rule === undefined) return reason ?? '';
  const more = rules.length > 1 ? ` (and ${rules.slice(1).join(', ')})` : '';
  const feels = denial === undefined ? '' : ` (feels like ${denial})`;
  return `${rule}${more}${why === undefined ? '' : `: ${why}`}${feels}`;
}
