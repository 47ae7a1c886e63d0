/** The one screen of `postern status`, pure: what the server says → lines, and what a person has to do. */
import type { Flow } from '../api/flow.ts';
import type { Host } from '../api/host.ts';
import type { Policy } from '../api/policy.ts';
import type { Workload } from '../api/workload.ts';
import { peerName } from './flow-line.ts';
import type { Out } from './out.ts';
import { alignRows } from './table.ts';
import { age, span } from './time.ts';

export interface Overview {
  /** The newest revision of the control plane. */
  readonly revision: number;
  readonly hosts: readonly Host[];
  readonly workloads: readonly Workload[];
  readonly policies: readonly Policy[];
  /** Services that nobody claimed. */
  readonly unclaimed: number;
  /** Newest denials of the last 15 minutes, at most `FLOW_LIMIT`; AUDIT likewise. */
  readonly dropped: readonly Flow[];
  readonly audited: readonly Flow[];
  readonly lost: number;
}

export const FLOW_LIMIT = 1000;
/** A host may be this long behind the newest revision before a person is asked to look. */
const BEHIND_MS = 15_000;
const FULL = 0.9;

export interface StatusText {
  readonly text: string;
  readonly toDo: readonly string[];
}

export function statusText(overview: Overview, nowMs: number, colour: Out['colour']): StatusText {
  const toDo = toDoOf(overview, nowMs);
  const rows = [
    ['policy', policyLine(overview)],
    ['workloads', workloadLine(overview.workloads)],
    ['not named', overview.unclaimed === 0 ? 'nothing' : `${count(overview.unclaimed, 'service')}: postern discover`],
    ['15 min', flowLine15(overview)],
    ...overview.hosts
      .filter((host) => host.status.maps.length > 0)
      .map((host) => [mapsTitle(overview, host), mapsText(host.status.maps)]),
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
    `seen ${age(status.lastSeen, nowMs)} ago`,
  ]);
  return [...alignRows(lines), colour(toDo === 0 ? 'green' : 'yellow', toDo === 0 ? 'all is well' : `${toDo} to do`)];
}

const STATE_COLOURS = { ready: 'green', degraded: 'yellow', stale: 'red', new: 'cyan' } as const;

function policyLine({ policies, revision }: Overview): string {
  const warned = policies.filter((policy) => policy.status.warnings.length > 0).length;
  return `${count(policies.length, 'policy', 'policies')}, revision ${revision}${warned > 0 ? `, ${warned} with warnings: postern get policies` : ''}`;
}

function workloadLine(workloads: readonly Workload[]): string {
  const idle = workloads.filter((workload) => workload.status.endpoints === 0).map(nameOf);
  const conflicts = workloads.filter((workload) => workload.status.conflicts.length > 0).length;
  const drifted = workloads.filter((workload) => workload.status.drifted > 0).length;
  return [
    `${workloads.length} registered`,
    `${workloads.length - idle.length} running`,
    idle.length > 0 ? `${idle.length} matching nothing (${idle.join(', ')})` : '',
    conflicts > 0 ? `${conflicts} in conflict` : '',
    drifted > 0 ? `${drifted} drifted` : '',
  ]
    .filter((part) => part !== '')
    .join(', ');
}

function flowLine15({ dropped, audited, lost }: Overview): string {
  const parts = [`denied ${atLeast(dropped)}${top(dropped)}`];
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

function mapsTitle({ hosts }: Overview, host: Host): string {
  return hosts.length === 1 ? 'maps' : `maps ${host.name}`;
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

function toDoOf({ hosts, workloads, revision }: Overview, nowMs: number): string[] {
  const toDo: string[] = [];
  if (hosts.length === 0) toDo.push('no agent has reported: sudo postern agent, or sudo postern standalone');
  for (const { name, status } of hosts) {
    const behind = revision - status.appliedRevision;
    if (status.state === 'stale')
      toDo.push(`${name}: its agent is silent for ${age(status.lastSeen, nowMs)}; its kernel goes on enforcing`);
    else if (behind > 0 && status.policyAgeMs > BEHIND_MS) {
      toDo.push(`${name}: revision ${revision} not applied for ${span(status.policyAgeMs)}`);
    }
    for (const reason of status.degraded) toDo.push(`${name}: ${reason}`);
    for (const map of status.maps) {
      if (map.entries > map.maxEntries * FULL)
        toDo.push(`${name}: map ${map.name} is ${percent(map.entries, map.maxEntries)} full`);
    }
  }
  for (const workload of workloads) {
    const { conflicts, drifted, unexpected = [], hint } = workload.status;
    if (conflicts.length > 0) toDo.push(`${nameOf(workload)}: conflict with ${conflicts.join(', ')}`);
    if (drifted > 0) toDo.push(`${nameOf(workload)}: ${hint ?? `${drifted} drifted`}`);
    for (const { host, endpoints } of unexpected)
      toDo.push(`${nameOf(workload)}: ${host} has ${endpoints}, expected ${workload.expect?.perHost}`);
  }
  return toDo;
}

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
