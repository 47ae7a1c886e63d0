import type { Discovered } from '../api/discover.ts';
import { claimOf } from '../core/match-claim.ts';
import { suggestMatch } from './discover-match.ts';
import { takeName } from './discover-name.ts';
import { listeningOf } from './endpoint.ts';
import { findServices, type ServiceInput } from './service-groups.ts';

export interface DiscoverInput extends ServiceInput {
  readonly host: string;
  /** `namespace/name` of what is registered. */
  readonly taken: ReadonlySet<string>;
  /** Of the control plane, for the command. */
  readonly baseUrl: string;
}

export type DiscoveredService = Discovered & {
  readonly grade: 'firstPacket' | 'late';
  /** What an operator should know before he takes the suggestion. */
  readonly note?: string;
};

const NAMESPACE = 'default';

/**
 * Services that listen and that no workload claims, each with a registration that would name it, surest first. Grouped
 * by shared sockets, then by unit as long as one program runs in it. Sockets that systemd holds for a unit that is not
 * running are told apart. sshd is listed last: naming it names its flows, and no policy can cut it off.
 */
export function discover(input: DiscoverInput): DiscoveredService[] {
  const services = findServices(input);
  const taken = new Set(input.taken);
  return services
    .map((service) => ({ service, suggestion: suggestMatch(service, services) }))
    .sort((a, b) => byConfidence(a.suggestion, b.suggestion) || a.service.main.pid - b.service.main.pid)
    .map(({ service, suggestion }) => {
      const name = takeName(suggestion.name, NAMESPACE, taken);
      const body = { labels: { app: name }, match: [suggestion.match] };
      const { main } = service;
      return {
        host: input.host,
        process: { pid: main.pid, exe: main.exe ?? '', user: main.user, startedAt: main.startedAt },
        ...(service.unit === undefined ? {} : { unit: service.unit.name }),
        cgroup: main.cgroup,
        listening: listeningOf(new Set(service.members.map(({ pid }) => pid)), service.sockets),
        talksTo: [],
        suggested: { namespace: NAMESPACE, name, ...body },
        confidence: suggestion.confidence,
        grade: claimOf(body.match).grade,
        ...(suggestion.notes.length === 0 ? {} : { note: suggestion.notes.join('; ') }),
        curl: toCurl(`${input.baseUrl}/v1/workloads/${NAMESPACE}/${name}`, body),
      };
    });
}

function byConfidence(
  a: { isFailsafe: boolean; confidence: number },
  b: { isFailsafe: boolean; confidence: number },
): number {
  return Number(a.isFailsafe) - Number(b.isFailsafe) || b.confidence - a.confidence;
}

function toCurl(url: string, body: object): string {
  const json = JSON.stringify(body).replaceAll("'", "'\\''");
  return `curl -X PUT '${url}' -H 'content-type: application/json' -d '${json}'`;
}
