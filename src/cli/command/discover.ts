/** `postern discover`: what runs and nobody claimed, each with the command that would register it. */
import type { Discovered } from '../../api/discover.ts';
import type { Call, Command } from '../command.ts';
import { quote } from '../curl.ts';
import { type ClauseLike, clauseFlags } from '../match-text.ts';
import { yamlText } from '../out.ts';
import { alignRows, table } from '../table.ts';
import { listAll } from '../watch.ts';

export const DISCOVER: Command = {
  path: ['discover'],
  summary: 'Show running services that no workload claims, with a ready registration for each',
  args: [],
  flags: [
    { name: 'host', value: 'NAME', summary: 'only of this host', complete: 'host' },
    { name: 'unregistered', summary: 'all that has no name: what listens, and what only talks' },
    { name: 'talkers', summary: 'only what talks and listens nowhere: clients, jobs, agents' },
  ],
  help: [
    'CONF says how sure the suggestion is to name this service and nothing else. TALKS TO is what flows have shown since the agent',
    'runs. -o yaml gives documents for postern apply, -o json all that is known, with a curl for each.',
  ].join('\n'),
  examples: [
    ['postern discover', 'what listens here?'],
    ['postern discover --unregistered -o yaml > workloads.yaml', 'documents to look through, then postern apply -f'],
    ["postern discover -o json | jq -r '.items[].curl'", 'the registrations as curl commands'],
  ],
  run: async (call) => {
    const answer = await listAll<Discovered>(call.server, '/v1/discover', query(call));
    if (call.out.format === 'json') await call.out.value(answer);
    else if (answer.items.length === 0) call.out.note(NOTHING[what(call)]);
    else if (call.out.format === 'yaml') await call.out.print(documentsText(answer.items));
    else await call.out.print(discoverText(answer.items));
    return 0;
  },
};

type What = 'listener' | 'talker' | 'both';

const NOTHING: Readonly<Record<What, string>> = {
  listener: 'nothing unclaimed: every service that listens is a workload',
  talker: 'nobody without a name has talked since the agent runs',
  both: 'nothing unclaimed: all that listens or talks is a workload',
};

function what(call: Call): What {
  if (call.on('unregistered')) return 'both';
  return call.on('talkers') ? 'talker' : 'listener';
}

function query(call: Call): (readonly [string, string])[] {
  const host = call.text('host');
  const kind = what(call);
  return [
    ...(host === undefined ? [] : [['host', host] as const]),
    ...(kind === 'both' ? [] : [['kind', kind] as const]),
  ];
}

export function discoverText(items: readonly Discovered[]): string {
  const rows = items.map((item) => [
    `${item.suggested.namespace}/${item.suggested.name}`,
    ports(item),
    item.unit ?? item.cgroup ?? '-',
    item.process.exe,
    item.process.user ?? '-',
    String(item.process.pid),
    item.confidence.toFixed(2),
    item.grade ?? '-',
    item.host,
    peers(item.talksTo ?? []),
    item.note ?? '',
  ]);
  const commands = items.map((item) => [`  ${registration(item)}`]);
  const titles = ['PROPOSED', 'LISTENS', 'WHERE', 'EXE', 'USER', 'PID', 'CONF', 'GRADE', 'HOST', 'TALKS TO', 'NOTE'];
  return [
    table(titles, rows),
    '',
    'To register one of them, with the labels that policies will use:',
    ...alignRows(commands),
  ].join('\n');
}

/** Documents as `postern apply` takes them, each with what is known of it as a comment. */
export function documentsText(items: readonly Discovered[]): string {
  return items
    .map(({ suggested: { namespace, name, labels, match }, host, process, unit, confidence, note }) => {
      const about = `${host}: ${process.exe} (pid ${process.pid}) in ${unit ?? 'no unit'}, confidence ${confidence.toFixed(2)}`;
      const document = {
        apiVersion: 'postern.dev/v1',
        kind: 'Workload',
        metadata: { namespace, name },
        spec: { labels, match },
      };
      return `# ${oneLine(note === undefined ? about : `${about}; ${note}`)}\n${yamlText(document)}`;
    })
    .join('\n---\n');
}

function oneLine(text: string): string {
  return text.replace(/[\r\n]+/g, ' ');
}

function ports(item: Discovered): string {
  const texts = item.listening.map((row) => `${row.port}/${row.protocol}`);
  return texts.length === 0 ? '-' : [...new Set(texts)].join(',');
}

function peers(talksTo: readonly string[]): string {
  const shown = talksTo.slice(0, 3).join(', ');
  return talksTo.length === 0 ? '-' : `${shown}${talksTo.length > 3 ? ` and ${talksTo.length - 3} more` : ''}`;
}

/** The `postern workload put` line of a suggestion. */
export function registration(item: Pick<Discovered, 'suggested'>): string {
  const { namespace, name, labels, match } = item.suggested;
  const [first, ...more] = (Array.isArray(match) ? match : [match]) as ClauseLike[];
  return [
    `postern workload put ${namespace}/${name}`,
    ...Object.entries(labels).map(([key, value]) => `--label ${quote(`${key}=${value}`)}`),
    ...(first ? [clauseFlags(first)] : []),
    ...more.map((clause) => `--match ${quote(JSON.stringify(clause))}`),
  ].join(' ');
}
