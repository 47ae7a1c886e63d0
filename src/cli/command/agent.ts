/** `postern agent …`: the agent of this host, over its unix socket; and the commands that are the agent. */
import type { Endpoint } from '../../api/endpoint.ts';
import type { Flow } from '../../api/flow.ts';
import type { Call, Command } from '../command.ts';
import { confirm } from '../confirm.ts';
import { Failure } from '../failure.ts';
import { followFlows } from '../flow-read.ts';
import { AGENT_FLAGS, runLocal, SERVER_FLAGS, STANDALONE_FLAGS } from '../local.ts';
import { getNoun } from '../noun.ts';
import { mapsText, percent } from '../status-text.ts';
import { alignRows, table } from '../table.ts';
import { FOLLOW, LAST, printFlow, toCount } from './observe.ts';

export const LOCAL_COMMANDS: readonly Command[] = [
  {
    path: ['standalone'],
    summary: 'Run server and agent on this host, with an embedded database',
    args: [],
    flags: STANDALONE_FLAGS,
    help: 'Needs root. Stays in the foreground; Ctrl-C stops it, and enforcement goes on. To open everything: postern agent detach --yes.',
    examples: [['sudo postern standalone', 'the default of a first try']],
    run: (call) => runLocal('standalone', call),
  },
  {
    path: ['server'],
    summary: 'Run the control plane: REST over a PostgreSQL database',
    args: [],
    flags: SERVER_FLAGS,
    examples: [
      ['postern server', 'with an embedded database'],
      ['DATABASE_URL=postgres://postern@db/postern postern server --listen 127.0.0.1:7461', 'with your own'],
    ],
    run: (call) => runLocal('server', call),
  },
  {
    path: ['agent'],
    summary: 'Run the agent of this host: the kernel enforces what the server says',
    args: [],
    flags: AGENT_FLAGS,
    help: 'Needs root. Stopping it, also with kill -9, changes nothing for the traffic: enforcement goes on in the kernel.',
    examples: [
      ['sudo postern agent', 'with the server on this host, over its socket'],
      [
        'sudo postern agent --run-dir /run/postern-b --pin-dir /sys/fs/bpf/postern-b --state-dir /var/lib/postern-b',
        'a second instance',
      ],
    ],
    run: (call) => runLocal('agent', call),
  },
];

export const AGENT_COMMANDS: readonly Command[] = [
  {
    path: ['agent', 'status'],
    summary: 'Show the agent of this host: what is applied, what does not work',
    args: [],
    flags: [],
    help: 'Exit code 1 when it is degraded. Answers also when the server is away.',
    examples: [['postern agent status', 'in words']],
    run: async (call) => {
      const status = await call.agent.json<AgentStatus>({ method: 'GET', path: '/v1/status' });
      if (call.out.format === 'table') await call.out.print(agentStatusText(status));
      else await call.out.value(status);
      return (status.degraded ?? []).length > 0 ? 1 : 0;
    },
  },
  {
    path: ['agent', 'endpoints'],
    summary: 'List the endpoints of this host',
    args: [],
    flags: [],
    examples: [['postern agent endpoints', 'also when the server is away']],
    run: (call) =>
      showList<never>(call, '/v1/endpoints', 'no endpoints: nothing that runs here matches a workload', (items) => {
        const columns = getNoun('endpoint').columns.filter((column) => !column.card);
        const cells = items.map((item: Endpoint) => columns.map((column) => column.cell(item as never, Date.now())));
        return table(
          columns.map((column) => column.title),
          cells,
        );
      }),
  },
  {
    path: ['agent', 'maps'],
    summary: 'List the kernel maps of this host, with how full each is',
    args: [],
    flags: [],
    examples: [['postern agent maps', 'fill levels']],
    run: (call) =>
      showList<MapFill>(call, '/v1/maps', 'no maps: nothing is loaded', (items) =>
        table(
          ['MAP', 'TYPE', 'ENTRIES', 'OF', 'FULL'],
          items.map((map) => [
            map.name,
            map.type ?? '-',
            String(map.entries),
            String(map.maxEntries),
            percent(map.entries, map.maxEntries),
          ]),
        ),
      ),
  },
  {
    path: ['agent', 'gateways'],
    summary: 'List the programs that start others on this host: cron, sshd, sudo, container runtimes',
    args: [],
    flags: [{ name: 'all', short: 'a', summary: 'also those that are not on this host' }],
    help: 'A gateway does not hand on the label that it gained itself; what one with JOBS starts has not the name of its unit either. Change the list with --gateways of the agent.',
    examples: [['postern agent gateways', 'those that are here']],
    run: (call) =>
      showList<Gateway>(call, '/v1/gateways', 'no gateways: --gateways took them all away', (items) => {
        const shown = items.filter((gateway) => gateway.isHere || !gateway.isDefault || call.on('all'));
        return table(
          ['PATH', 'JOBS', 'FROM', 'HERE'],
          shown.map(({ path, startsJobs, isDefault, isHere }) => [
            path,
            startsJobs ? 'yes' : 'no',
            isDefault ? 'default' : '--gateways',
            isHere ? 'yes' : 'no',
          ]),
        );
      }),
  },
  {
    path: ['agent', 'flows'],
    summary: 'Show the flows of this host, as its agent sees them',
    args: [],
    flags: [FOLLOW, LAST],
    help: 'The agent keeps the last 4096. Filters, and what was before: postern observe.',
    examples: [['postern agent flows -f', 'also when the server is away']],
    run: showFlows,
  },
  {
    path: ['agent', 'detach'],
    summary: 'Open everything on this host: take every program and pin out of the kernel',
    args: [],
    flags: [
      { name: 'yes', short: 'y', summary: 'do not ask' },
      ...AGENT_FLAGS.filter((flag) => flag.name === 'pin-dir' || flag.name === 'state-dir'),
    ],
    help: 'Needs root. Nothing is enforced or seen on this host until an agent runs again. Stop the agent first: it would attach anew.',
    examples: [['sudo postern agent detach --yes', 'without a question']],
    run: async (call) => {
      // To others the pins are invisible: "nothing is pinned" would be a lie.
      if (process.geteuid?.() !== 0)
        throw new Failure(4, 'postern agent detach needs root', ['hint: sudo postern agent detach --yes']);
      await refuseWhileRunning(call);
      await confirm(call, 'take every Postern program out of the kernel of this host? Nothing will be enforced.');
      return runLocal('agent detach', call);
    },
  },
];

/** A running agent holds its programs by descriptors: taking the pins away would change nothing until it stops. */
async function refuseWhileRunning(call: Call): Promise<void> {
  try {
    await call.agent.send({ method: 'GET', path: '/healthz' });
  } catch (error) {
    if (error instanceof Failure) return;
    throw error;
  }
  throw new Failure(1, 'the agent of this host is running, and holds its programs in the kernel: nothing was changed', [
    `hint: stop it (Ctrl-C, or systemctl stop postern postern-agent), then: postern agent detach --yes`,
  ]);
}

async function showFlows(call: Call): Promise<number> {
  const query = [['last', String(toCount(call.text('last')) ?? (call.on('follow') ? 0 : 20))]] as const;
  if (call.on('follow')) {
    for await (const flow of followFlows(call.agent, query)) await printFlow(call, flow);
    throw new Failure(3, 'the agent ended the stream');
  }
  const { items } = await call.agent.json<{ items: Flow[] }>({ method: 'GET', path: '/v1/flows', query });
  for (const flow of items) await printFlow(call, flow);
  if (items.length === 0) call.out.note('no flows yet');
  return 0;
}

interface Gateway {
  readonly path: string;
  readonly startsJobs: boolean;
  readonly isDefault: boolean;
  readonly isHere: boolean;
}

interface MapFill {
  readonly name: string;
  readonly type?: string;
  readonly entries: number;
  readonly maxEntries: number;
}

/** GET /v1/status of the agent: the fields of a host report, and whatever else it says. */
export interface AgentStatus {
  readonly degraded?: readonly string[];
  readonly maps?: readonly MapFill[];
  readonly counters?: Readonly<Record<string, number>>;
  readonly [field: string]: unknown;
}

/** Every field that says something in one line; nested ones as `name: key value, key value`. */
export function agentStatusText(status: AgentStatus): string {
  const { degraded = [], maps = [], counters = {}, ...rest } = status;
  // Most counters count what must not happen.
  const counted = Object.fromEntries(Object.entries(counters).filter(([, count]) => count > 0));
  const rows = Object.entries({ ...rest, ...(Object.keys(counted).length > 0 && { counters: counted }) }).map(
    ([name, value]) => [`${words(name)}:`, oneLine(value)],
  );
  if (maps.length > 0) rows.push(['maps:', mapsText(maps)]);
  rows.push(...(degraded.length === 0 ? [['degraded:', 'no']] : degraded.map((reason) => ['degraded:', reason])));
  return alignRows(rows).join('\n');
}

function oneLine(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-';
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map(oneLine).join(', ');
  if (typeof value !== 'object') return String(value);
  const parts = Object.entries(value).map(([key, inner]) =>
    inner === true ? key : `${key} ${inner === false ? 'no' : oneLine(inner)}`,
  );
  return parts.length === 0 ? '-' : parts.join(', ');
}

/** "appliedRevision" → "applied revision" */
function words(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

async function showList<T>(call: Call, path: string, none: string, text: (items: T[]) => string): Promise<number> {
  const answer = await call.agent.json<{ items: T[] }>({ method: 'GET', path });
  if (call.out.format !== 'table') await call.out.value(answer);
  else if (answer.items.length === 0) call.out.note(none);
  else await call.out.print(text(answer.items));
  return 0;
}
