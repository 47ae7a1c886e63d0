/** `postern policy simulate` and `postern policy suggest`: what recorded flows say about policy that is not there yet. */
import type { SimulatedGroup, Simulation, Suggestion } from '../../api/simulate.ts';
import type { Call, Command } from '../command.ts';
import { readBundle } from '../documents.ts';
import { Failure } from '../failure.ts';
import { problemFailure } from '../problem.ts';
import { table } from '../table.ts';

const TIMES = [
  { name: 'since', value: 'TIME', summary: 'flows from then on: how long ago (5m, 24h, 7d) or a time; default 24h' },
  { name: 'until', value: 'TIME', summary: 'until then; default now' },
];

export const POLICY_SIMULATE: readonly Command[] = [
  {
    path: ['policy', 'simulate'],
    summary: 'Replay recorded flows against documents that are not in force yet',
    args: [],
    flags: [
      {
        name: 'file',
        short: 'f',
        value: 'PATH',
        many: true,
        summary: 'documents: file, folder, or -',
        complete: 'file',
      },
      { name: 'delete', value: 'POLICY', many: true, summary: 'a policy that would go', complete: 'policy' },
      ...TIMES,
      { name: 'exit-code', summary: 'exit 1 when something that was forwarded would be dropped' },
    ],
    help: [
      'The documents are put beside what is in force, as apply would; each recorded connection is judged by the policy of now and by',
      'the proposed one. What differs is shown by pair, port and rule, what would break first. Nothing is changed.',
    ].join('\n'),
    examples: [
      ['postern policy simulate -f new.yaml --since 24h', 'what would break?'],
      ['postern policy simulate --delete cnp/shop/backend', 'what would open?'],
      ['postern policy simulate -f policies/ --since 7d --exit-code', 'in a pipeline'],
    ],
    run: async (call) => {
      const answer = await simulate(call);
      if (call.out.format !== 'table') await call.out.value(answer);
      else await printSimulation(call, answer);
      const breaks = answer.groups.some(({ after }) => after.verdict === 'DROPPED');
      return call.on('exit-code') && breaks ? 1 : 0;
    },
  },
  {
    path: ['policy', 'suggest'],
    summary: 'Write the least policy that would have allowed what was seen',
    args: [{ name: 'NAMESPACE/NAME', optional: true, complete: 'workload' }],
    flags: [
      ...TIMES,
      { name: 'namespace', short: 'n', value: 'NAME', summary: 'for all workloads of it', complete: 'namespace' },
      { name: 'direction', value: 'DIRECTION', choices: ['ingress', 'egress', 'both'], summary: 'default both' },
      { name: 'dropped', summary: 'also allow what was denied' },
    ],
    help: 'For one workload, or for all that were seen. The YAML says of each rule what it is for; review it, then apply it.',
    examples: [
      ['postern policy suggest shop/backend --since 7d > backend.yaml', 'to be reviewed'],
      ['postern policy suggest --direction ingress | postern policy simulate -f -', 'it breaks nothing that was seen'],
    ],
    run: async (call) => {
      const [workload] = call.args;
      if (workload !== undefined && !workload.includes('/'))
        throw new Failure(2, `"${workload}" is not the name of one workload: it is written NAMESPACE/NAME`, [
          `for all of a namespace: postern policy suggest -n ${workload}`,
        ]);
      const fields = (['since', 'until', 'namespace', 'direction'] as const).flatMap((name) => {
        const text = call.text(name);
        return text === undefined ? [] : [[name, text]];
      });
      const body = {
        ...(workload !== undefined && { workload }),
        ...Object.fromEntries(fields),
        ...(call.on('dropped') && { dropped: true }),
      };
      const answer = await call.server.json<Suggestion>({
        method: 'POST',
        path: '/v1/policies:suggest',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      if (call.out.format === 'json') await call.out.value(answer);
      else if (answer.documents.length > 0) await call.out.print(answer.yaml.trimEnd());
      for (const note of answer.notes) call.out.note(`note: ${note}`);
      for (const { why, flows } of answer.left)
        call.out.note(`left out: ${flows} flow${flows === 1 ? '' : 's'}: ${why}`);
      return 0;
    },
  },
];

async function simulate(call: Call): Promise<Simulation> {
  const files = call.list('file');
  const deletes = call.list('delete');
  if (files.length + deletes.length === 0)
    throw new Failure(2, '"postern policy simulate" needs -f PATH or --delete POLICY');
  const bundle = files.length === 0 ? undefined : await readBundle(files, call.io);
  const times = TIMES.flatMap(({ name }): [string, string][] => {
    const text = call.text(name);
    return text === undefined ? [] : [[name, text]];
  });
  const request = {
    method: 'POST',
    path: '/v1/policies:simulate',
    query: [...times, ...(deletes.length === 0 ? [] : [['delete', deletes.join(',')] as const])],
    headers: { 'content-type': bundle?.contentType ?? 'application/json' },
    body: bundle?.body ?? '{}',
    ...(bundle?.bodyFile !== undefined && { bodyFile: bundle.bodyFile }),
  } as const;
  const answer = await call.server.send(request);
  if (answer.status !== 200) throw problemFailure(answer, request, bundle?.place);
  return JSON.parse(answer.text) as Simulation;
}

async function printSimulation(
  call: Call,
  { groups, flows, changed, unjudged, notes, since }: Simulation,
): Promise<void> {
  const { out } = call;
  if (groups.length > 0)
    await out.print(
      table(
        TITLES,
        groups.map((group) => toCells(group, out.colour)),
      ),
    );
  out.note(`${changed} of ${flows} flows since ${since} would be judged otherwise`);
  for (const { why, flows: n } of unjudged) out.note(`not judged: ${n} flow${n === 1 ? '' : 's'}: ${why}`);
  for (const note of notes) out.note(`note: ${note}`);
}

const TITLES = ['FROM', 'TO', 'PORT', 'TIMES', 'SIDE', 'VERDICT', 'RULE'];

function toCells(group: SimulatedGroup, colour: Call['out']['colour']): string[] {
  const { from, to, port, protocol, direction, before, after, connections } = group;
  const rule = after.rule ?? (before.rule === undefined ? '-' : `no more ${before.rule}`);
  const verdict = `${before.verdict} -> ${after.verdict}`;
  return [
    from,
    to,
    port === undefined ? protocol : `${port}/${protocol}`,
    String(connections),
    direction,
    colour(after.verdict === 'DROPPED' ? 'red' : 'green', verdict),
    rule,
  ];
}
