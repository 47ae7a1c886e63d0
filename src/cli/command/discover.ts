/** `postern discover`: services that nobody claimed, each with the command that would register it. */
import type { Discovered } from '../../api/discover.ts';
import type { ListOf } from '../../api/list.ts';
import type { Command } from '../command.ts';
import { quote } from '../curl.ts';
import { type ClauseLike, clauseFlags } from '../match-text.ts';
import { alignRows, table } from '../table.ts';

export const DISCOVER: Command = {
  path: ['discover'],
  summary: 'Show running services that no workload claims, with a ready registration for each',
  args: [],
  flags: [{ name: 'host', value: 'NAME', summary: 'only of this host', complete: 'host' }],
  help: 'CONF says how sure the suggestion is to name this service and nothing else. -o json has the match bodies and a curl for each.',
  examples: [
    ['postern discover', 'what listens here?'],
    ["postern discover -o json | jq -r '.items[].curl'", 'the registrations as curl commands'],
  ],
  run: async (call) => {
    const host = call.text('host');
    const query: [string, string][] = host === undefined ? [] : [['host', host]];
    const answer = await call.server.json<ListOf<Discovered>>({ method: 'GET', path: '/v1/discover', query });
    if (call.out.format !== 'table') {
      await call.out.value(answer);
      return 0;
    }
    if (answer.items.length === 0) {
      call.out.note('nothing unclaimed: every service that listens is a workload');
      return 0;
    }
    await call.out.print(discoverText(answer.items));
    return 0;
  },
};

export function discoverText(items: readonly Discovered[]): string {
  const rows = items.map((item) => [
    `${item.suggested.namespace}/${item.suggested.name}`,
    ports(item),
    item.unit ?? item.cgroup ?? '-',
    item.process.exe,
    item.process.user ?? '-',
    String(item.process.pid),
    item.confidence.toFixed(2),
    item.host,
  ]);
  const commands = items.map((item) => [`  ${registration(item)}`]);
  return [
    table(['PROPOSED', 'LISTENS', 'WHERE', 'EXE', 'USER', 'PID', 'CONF', 'HOST'], rows),
    '',
    'To register one of them, with the labels that policies will use:',
    ...alignRows(commands),
  ].join('\n');
}

function ports(item: Discovered): string {
  const texts = item.listening.map((row) => `${row.port}/${row.protocol}`);
  return texts.length === 0 ? '-' : [...new Set(texts)].join(',');
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
