/** The one screen of `postern status`, pure: what the server says → lines, and what a person has to do. */
import type { Flow } from '../api/flow.ts';
import type { Host } from '../api/host.ts';
import type { Policy } from '../api/policy.ts';
import type { Workload } from '../api/workload.ts';
import { peerName } from './flow-line.ts';
import type { Out } from './out.ts';
import { toDoOf } from './status-todo.ts';
import { alignRows } from './table.ts';
import { age, span } from './time.ts';

export interface Overview {
  /** The newest revision of the control plane. */
  readonly revision: number;
  readonly hosts: readonly Host[];
  readonly workloads: readonly Workload[];
  readonly policies: readonly Policy[];
  /** Services that nobody claimed, as discover lists them. */
  readonly unclaimed: number;
  /** Endpoints that are not settled yet. */
  readonly provisional: number;
  /** Newest denials of the last 15 minutes, at most `FLOW_LIMIT`; AUDIT likewise. */
  readonly dropped: readonly Flow[];
  readonly audited: readonly Flow[];
  readonly lost: number;
}

export const FLOW_LIMIT = 1000;

export interface StatusText {
  readonly text: string;
  readonly toDo: readonly string[];
}

export function statusText(overview: Overview, nowMs: number, colour: Out['colour']): StatusText {
  const toDo = toDoOf(overview, nowMs);
  const rows = [
    ['policy', policyLine(overview)],
    ['workloads', workloadLine(overview)],
    ['not named', unnamedLine(overview)],
    ['15 min', flowLine15(overview)],
    ...findingRows(overview),
    ...overview.hosts.flatMap((host) => hostRows(overview, host)),
    ...toDo.map((text, i) => [colour('yellow', `TO DO ${i + 1}`), text]),
  ];
  return { text: [...hostLines(overview, toDo.length, nowMs, colour), ...alignRows(rows)].join('\n'), toDo };
}

function hostLines({ hosts, revision }: Overview, toDo: number, nowMs: number, colour: Out['colour']): string[] {
  if (hosts.length === 0) return [colour('yellow', `NO HOST, ${toDo} to do`)];
  const lines = hosts.map(({ name, status }) => [
    colour('bold', name),
    colour(STATE_COLOURS[status.state], status.state.toUpperCase()),
    `revision ${status.appliedRevision} of ${revision}${status.policyAgeMs > 0 ? `, ${span(status.policyAgeMs)} behind` : ''}`,
    count(status.endpoints, 'endpoint'),
    `agent ${status.agentVersion}`,
    `kernel ${status.kernel}`,
    ...(status.bootedAt === undefined ? [] : [`up ${age(status.bootedAt, nowMs)}`]),
    `seen ${age(status.lastSeen, nowMs)} ago`,
  ]);
  return [...alignRows(lines), colour(toDo === 0 ? 'green' : 'yellow', toDo === 0 ? 'all is well' : `${toDo} to do`)];
}

const STATE_COLOURS = { ready: 'green', degraded: 'yellow', stale: 'red', new: 'cyan' } as const;

function policyLine({ policies, revision }: Overview): string {
  const warned = policies.filter((policy) => policy.status.warnings.length > 0).length;
  return `${count(policies.length, 'policy', 'policies')}, revision ${revision}${warned > 0 ? `, ${warned} with warnings: postern get policies` : ''}`;
}

function workloadLine({ hosts, workloads, provisional }: Overview): string {
  const idle = workloads.filter((workload) => workload.status.endpoints === 0).map(nameOf);
  const conflicts = workloads.filter((workload) => workload.status.conflicts.length > 0).length;
  const drifted = workloads.filter((workload) => workload.status.drifted > 0).length;
  return [
    `${workloads.length} registered`,
    `${workloads.length - idle.length} running`,
    idle.length > 0 ? `${idle.length} matching nothing (${idle.join(', ')})` : '',
    conflicts > 0 ? `${conflicts} in conflict` : '',
    drifted > 0 ? `${drifted} drifted` : '',
    provisionalText(hosts, provisional),
  ]
    .filter((part) => part !== '')
    .join(', ');
}

/** Of processes where the agents tell, and of endpoints that have not all of their name yet. */
function provisionalText(hosts: readonly Host[], endpoints: number): string {
  const told = hosts.flatMap(({ status }) => status.provisional ?? []);
  const processes = told.reduce((sum, n) => sum + n, 0);
  const parts = [
    ...(processes > 0 ? [count(processes, 'process', 'processes')] : []),
    ...(endpoints > 0 ? [count(endpoints, 'endpoint')] : []),
  ];
  if (parts.length === 0) return told.length === 0 ? '' : '0 provisional';
  return `${parts.join(' and ')} provisional`;
}

/** What listens and what only talks, where the agents tell them apart. */
function unnamedLine({ hosts, unclaimed }: Overview): string {
  const talkers = hosts.reduce((sum, { status }) => sum + (status.unregistered?.talkers ?? 0), 0);
  if (unclaimed === 0 && talkers === 0) return 'nothing';
  if (talkers === 0) return `${count(unclaimed, 'service')}: postern discover`;
  return `${count(unclaimed, 'listener')}, ${count(talkers, 'talker')}: postern discover --unregistered`;
}

function flowLine15({ hosts, dropped, audited, lost }: Overview): string {
  const told = hosts.flatMap(({ status }) => status.recent ?? []);
  const allowed = told.reduce((sum, counts) => sum + counts.allowed, 0);
  const parts = [...(told.length > 0 ? [`allowed ${allowed}`] : []), `denied ${atLeast(dropped)}${top(dropped)}`];
  if (audited.length > 0) parts.push(`would deny ${atLeast(audited)}${top(audited)}`);
  parts.push(`lost events ${lost}`);
  return parts.join(', ');
}

function atLeast(flows: readonly Flow[]): string {
  return flows.length >= FLOW_LIMIT ? `${flows.length} or more` : String(flows.length);
}

/** ` (top shop/stranger -> shop/backend:6379, default deny of cnp/shop/backend)` */
function top(flows: readonly Flow[]): string {
  const counts = new Map<string, number>();
  for (const { source, destination, rule } of flows) {
    const from = source ? peerName(source) : '?';
    const to = destination ? peerName(destination) : '?';
    const port = destination?.port === undefined ? '' : `:${destination.port}`;
    const pair = `${from} -> ${to}${port}${rule ? `, ${rule}` : ''}`;
    counts.set(pair, (counts.get(pair) ?? 0) + 1);
  }
  const [first] = [...counts].sort((a, b) => b[1] - a[1]);
  return first ? ` (top ${first[0]})` : '';
}

/** How many rights of workloads are stronger than policy, where there are any. */
function findingRows({ hosts }: Overview): string[][] {
  const told = hosts.flatMap(({ name, status }) => {
    const counts = Object.entries(status.findings ?? {}).filter(([, n]) => n > 0);
    const text = counts.map(([severity, n]) => `${n} ${severity}`).join(', ');
    return counts.length === 0 ? [] : [hosts.length === 1 ? text : `${name} ${text}`];
  });
  if (told.length === 0) return [];
  return [['findings', `${told.join('; ')}: postern doctor${hosts.length === 1 ? '' : ' --host NAME'}`]];
}

/** Of one host all; of many only what is not as on the others: maps, and hooks that are missing. */
function hostRows({ hosts }: Overview, { name, status }: Host): string[][] {
  const title = (word: string) => (hosts.length === 1 ? word : `${word} ${name}`);
  const { failsafe, blind, hooks, maps } = status;
  const isOne = hosts.length === 1;
  return [
    ...(isOne && failsafe !== undefined ? [['failsafe', [...failsafe, ALWAYS].join(', ')]] : []),
    ...(isOne && blind !== undefined ? [['blind', blind.length === 0 ? 'nothing' : blind.join(', ')]] : []),
    ...(maps.length > 0 ? [[title('maps'), mapsText(maps)]] : []),
    ...(hooks !== undefined && (isOne || hooks.missing.length > 0) ? [[title('hooks'), hooksText(hooks)]] : []),
  ];
}

const ALWAYS = 'DHCP client, Postern, neighbour discovery, ICMP errors';

function hooksText({ attached, of, missing }: NonNullable<Host['status']['hooks']>): string {
  return `${attached} of ${of} ours${missing.length === 0 ? '' : `, missing ${missing.join(', ')}`}`;
}

/** The fullest first; what is nearly empty is one word. */
export function mapsText(maps: readonly Pick<MapFill, 'name' | 'entries' | 'maxEntries'>[]): string {
  const share = ({ entries, maxEntries }: (typeof maps)[number]) => (maxEntries === 0 ? 0 : entries / maxEntries);
  const shown = maps.filter((map) => share(map) >= 0.01).sort((a, b) => share(b) - share(a));
  const rest = maps.length - shown.length;
  const parts = shown.map((map) => `${map.name} ${percent(map.entries, map.maxEntries)}`);
  if (rest > 0) parts.push(`${shown.length === 0 ? `all ${rest}` : `${rest} others`} below 1 %`);
  return parts.join(', ');
}

type MapFill = Host['status']['maps'][number];

function nameOf(workload: Workload): string {
  return `${workload.namespace}/${workload.name}`;
}

export function percent(part: number, whole: number): string {
  const share = whole === 0 ? 0 : (100 * part) / whole;
  return `${share > 0 && share < 1 ? '<1' : Math.round(share)} %`;
}

function count(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}
