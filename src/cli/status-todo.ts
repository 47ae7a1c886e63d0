/** What a person has to do, with the command for it where there is one. Empty = all is well. */
import type { Host } from '../api/host.ts';
import type { Workload } from '../api/workload.ts';
import { type Overview, percent } from './status-text.ts';
import { age, span } from './time.ts';

/** A host may be this long behind the newest revision before a person is asked to look. */
const BEHIND_MS = 15_000;
const FULL = 0.9;

export function toDoOf({ hosts, workloads, revision }: Overview, nowMs: number): string[] {
  const none = hosts.length === 0 ? ['no agent has reported: sudo postern agent, or sudo postern standalone'] : [];
  return [...none, ...hosts.flatMap((host) => ofHost(host, revision, nowMs)), ...workloads.flatMap(ofWorkload)];
}

function ofHost({ name, status }: Host, revision: number, nowMs: number): string[] {
  const toDo: string[] = [];
  if (status.state === 'stale')
    toDo.push(`its agent is silent for ${age(status.lastSeen, nowMs)}; its kernel goes on enforcing`);
  else if (revision > status.appliedRevision && status.policyAgeMs > BEHIND_MS)
    toDo.push(`revision ${revision} not applied for ${span(status.policyAgeMs)}`);
  toDo.push(...status.degraded);
  for (const map of status.maps)
    if (map.entries > map.maxEntries * FULL)
      toDo.push(`map ${map.name} is ${percent(map.entries, map.maxEntries)} full`);
  if (status.hooks !== undefined && status.hooks.missing.length > 0)
    toDo.push(`not attached: ${status.hooks.missing.join(', ')}: restart its agent`);
  for (const { file, problems } of status.files ?? [])
    for (const problem of problems) toDo.push(`${file} ${problem}; what it said before holds`);
  return toDo.map((text) => `${name}: ${text}`);
}

function ofWorkload(workload: Workload): string[] {
  const { conflicts, drifted, drifts = [], unexpected = [], hint } = workload.status;
  const name = `${workload.namespace}/${workload.name}`;
  const toDo: string[] = [];
  if (conflicts.length > 0) toDo.push(`conflict with ${conflicts.join(', ')}${conflictHint(workload)}`);
  if (drifted > 0) toDo.push(`${hint ?? `${drifted} drifted`}${driftCommands(name, drifts)}`);
  for (const { host, endpoints } of unexpected)
    toDo.push(`${host} has ${endpoints}, expected ${workload.expect?.perHost}`);
  return toDo.map((text) => `${name}: ${text}`);
}

function conflictHint({ status }: Workload): string {
  if (status.source === 'file') return `: rename it in ${status.file} of ${status.host}`;
  return ': give one of them a more telling clause, or --priority';
}

/** Back to where it belongs, or a name until it ends. */
function driftCommands(name: string, drifts: NonNullable<Workload['status']['drifts']>): string {
  const [first] = drifts;
  if (first === undefined) return '';
  const unit = first.expected.find((place) => /^[^*?[/]+\.service$/.test(place));
  const restart = unit === undefined ? '' : `systemctl restart ${unit}, or `;
  return `: on ${first.host}: ${restart}postern workload adopt ${name} --pid ${first.process.pid}`;
}
