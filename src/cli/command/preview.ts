/** `postern workload preview`: what a registration would match on each host, before it is put. */
import type { Preview, PreviewProcess } from '../../api/preview.ts';
import type { Call, Command } from '../command.ts';
import { readBundle } from '../documents.ts';
import { Failure } from '../failure.ts';
import { problemFailure } from '../problem.ts';
import { alignRows, table } from '../table.ts';
import { givenWorkloadFlags, placeInFlags, toWorkloadBody, WORKLOAD_FLAGS } from './workload-flags.ts';

export const PREVIEW: Command = {
  path: ['workload', 'preview'],
  summary: 'Show what a registration would match on each host, before it is put',
  args: [{ name: 'NAMESPACE/NAME', optional: true, complete: 'workload' }],
  flags: [
    ...WORKLOAD_FLAGS,
    { name: 'file', short: 'f', value: 'FILE', summary: 'the body, JSON or YAML; - for stdin', complete: 'file' },
    { name: 'host', value: 'NAME', summary: 'only on this host', complete: 'host' },
    { name: 'timeout-ms', value: 'MS', summary: 'how long hosts are waited for; 5000 unless said' },
  ],
  help: 'The agents look now. A name that exists stands for its registration: then what it has already is told apart. Exit 1 when nothing would match.',
  examples: [
    ["postern workload preview --exe '/usr/lib/jvm/*/bin/java' --user tomcat", 'who would that be?'],
    ['postern workload preview erp/tc1 -f tc1.yaml --host web-07', 'from a file, on one host'],
  ],
  run: async (call) => {
    const { body, contentType, place } = await toBody(call);
    const query = [
      ...(['host', 'timeout-ms'] as const).flatMap((name) => {
        const value = call.text(name);
        return value === undefined ? [] : [[name === 'host' ? 'host' : 'timeoutMs', value] as const];
      }),
    ];
    const request = {
      method: 'POST',
      path: '/v1/workloads:preview',
      query,
      headers: { 'content-type': contentType },
      body,
    } as const;
    const answer = await call.server.send(request);
    if (answer.status !== 200) throw problemFailure(answer, request, place);
    const preview = JSON.parse(answer.text) as Preview;
    if (call.out.format !== 'table') await call.out.value(preview);
    else await call.out.print(previewText(preview));
    return preview.hosts.some(({ processes = [] }) => processes.some(({ outcome }) => outcome !== 'loses')) ? 0 : 1;
  },
};

export function previewText({ hosts, overlaps, grade, spoofable, timeoutMs }: Preview): string {
  const rows = hosts.flatMap(({ host, processes = [] }) => processes.map((process) => processRow(host, process)));
  const waiting = hosts.flatMap(({ host, waiting: reasons = [] }) => reasons.map((reason) => `${host}: ${reason}`));
  return [
    rows.length === 0
      ? 'nothing that runs would match'
      : table(['HOST', 'PID', 'EXE', 'USER', 'WHERE', 'CLAUSE', 'BY', 'GRADE', 'THEN'], rows),
    '',
    ...hosts.map((host) => hostLine(host, timeoutMs)),
    ...waiting,
    ...alignRows([[`grade ${grade}${spoofable === null ? '' : `; could be claimed by ${spoofable}`}`]]),
    ...overlaps.map(({ workload, winner, by }) => `may also be ${workload}: ${winner} wins by ${by}`),
  ].join('\n');
}

function processRow(host: string, process: PreviewProcess): string[] {
  const { pid, exe, user, unit, cgroup, clause, origin, grade, outcome, other, by } = process;
  const why = by === undefined ? '' : ` by ${by}`;
  const then =
    outcome === 'loses'
      ? `stays ${other}${why}`
      : outcome === 'has'
        ? 'is it already'
        : other === undefined
          ? 'becomes it'
          : `becomes it; ${other} loses it${why}`;
  return [host, String(pid), exe || '-', user, unit ?? cgroup, String(clause ?? '-'), origin, grade ?? '-', then];
}

function hostLine(host: Preview['hosts'][number], timeoutMs: number): string {
  switch (host.state) {
    case 'answered': {
      const named = (host.processes ?? []).filter(({ outcome }) => outcome !== 'loses').length;
      const more = host.more ? `, ${host.more} more not listed` : '';
      return `${host.host}: ${named} of ${host.scanned} processes, confidence ${(host.confidence ?? 0).toFixed(2)}${more}`;
    }
    case 'elsewhere':
      return `${host.host}: not asked, hosts does not select it`;
    case 'timeout':
      return `${host.host}: no answer in ${timeoutMs} ms`;
    case 'away':
      return `${host.host}: its agent is not connected to this server`;
    default:
      return `${host.host}: cannot say: ${host.problem ?? 'no reason given'}`;
  }
}

async function toBody(call: Call) {
  const [namespace, name] = (call.args[0] ?? '').split('/');
  if (call.args[0] !== undefined && (!namespace || !name))
    throw new Failure(2, `a workload is NAMESPACE/NAME, not "${call.args[0]}"`);
  const named = call.args[0] === undefined ? {} : { namespace, name };
  const file = call.text('file');
  if (file === undefined) {
    const body = JSON.stringify({ ...named, ...toWorkloadBody(call) });
    return { body, contentType: 'application/json', place: placeInFlags(call) };
  }
  const clash = givenWorkloadFlags(call);
  if (clash.length > 0) throw new Failure(2, `${clash.join(', ')} and -f together: the file is the whole body`);
  const { documents, place, body, contentType } = await readBundle([file], call.io);
  if (documents.length !== 1) throw new Failure(2, `"${file}" holds ${documents.length} documents, preview takes one`);
  const document = documents[0] as { kind?: string; metadata?: { namespace?: string; name?: string }; spec?: object };
  if (document?.kind !== 'Workload') {
    if (call.args[0] === undefined) return { body, contentType, place };
    return { body: JSON.stringify({ ...(documents[0] as object), ...named }), contentType: 'application/json' };
  }
  const ref = { namespace: document.metadata?.namespace, name: document.metadata?.name, ...named };
  return { body: JSON.stringify({ ...document.spec, ...ref }), contentType: 'application/json' };
}
