import type { Discovered } from '../api/discover.ts';
import { claimOf } from '../core/match-claim.ts';
import { registrationCurl } from './discover-curl.ts';
import { type Suggestion, suggestMatch } from './discover-match.ts';
import { takeName, toName } from './discover-name.ts';
import { listeningOf } from './endpoint.ts';
import type { HostProcess } from './process-scan.ts';
import { findServices, type Service, type ServiceInput } from './service-groups.ts';
import type { Talker } from './talkers.ts';
import { unitOf } from './unit-of.ts';

export interface DiscoverInput extends ServiceInput {
  readonly host: string;
  /** `namespace/name` of what is registered. */
  readonly taken: ReadonlySet<string>;
  /** Of the control plane, for the command. */
  readonly baseUrl: string;
  /** Programs without a workload that talk, newest first. */
  readonly talkers?: readonly Talker[];
  /** With whom a program talks, by name. */
  readonly talksTo?: (process: { exe?: string; user: string; unit?: string }) => string[];
}

export type DiscoveredService = Discovered & {
  readonly grade: 'firstPacket' | 'late';
  /** What an operator should know before he takes the suggestion. */
  readonly note?: string;
};

const NAMESPACE = 'default';
const MAX_TALKERS = 200;

/**
 * Services that listen and that no workload claims, each with a registration that would name it, surest first. Grouped
 * by shared sockets, then by unit as long as one program runs in it. Sockets that systemd holds for a unit that is not
 * running are told apart. sshd is listed last: naming it names its flows, and no policy can cut it off.
 */
export function discover(input: DiscoverInput): DiscoveredService[] {
  const services = findServices(input);
  const taken = new Set(input.taken);
  const listeners = services
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
        talksTo: input.talksTo?.(aboutOf(service)) ?? [],
        kind: 'listener',
        suggested: { namespace: NAMESPACE, name, ...body },
        confidence: suggestion.confidence,
        grade: claimOf(body.match).grade,
        ...(suggestion.notes.length === 0 ? {} : { note: suggestion.notes.join('; ') }),
        curl: registrationCurl(`${input.baseUrl}/v1/workloads/${NAMESPACE}/${name}`, body),
      } as const;
    });
  const talkers = silentTalkers(input, services).map(({ talker, suggestion, main }) =>
    toTalker(input, talker, suggestion, main, takeName(suggestion.name, NAMESPACE, taken)),
  );
  return [...listeners, ...talkers];
}

interface Silent {
  readonly talker: Talker;
  readonly suggestion: Suggestion;
  /** Absent = it has ended. */
  readonly main: HostProcess | undefined;
}

/** Those that are not a listening service, and are not named by now. */
function silentTalkers(input: DiscoverInput, services: readonly Service[]): Silent[] {
  const listening = new Set(services.flatMap(({ members }) => members.map(({ pid }) => pid)));
  const known = new Set(services.map((service) => JSON.stringify(aboutOf(service))));
  const byPid = new Map(input.processes.map((process) => [process.pid, process]));
  return (input.talkers ?? []).slice(0, MAX_TALKERS).flatMap((talker): Silent[] => {
    const { pid, exe, user, unit } = talker;
    if (listening.has(pid) || input.isClaimed(pid)) return [];
    const about = { exe, ...(user === undefined ? {} : { user }), ...(unit === undefined ? {} : { unit }) };
    if (known.has(JSON.stringify(about))) return [];
    const main = byPid.get(pid)?.exe === exe ? byPid.get(pid) : undefined;
    if (main === undefined) return [{ talker, main, suggestion: suggestGone(talker) }];
    const service = { main, members: [main], sockets: [], unit: unitOf(main.cgroup) };
    return [{ talker, main, suggestion: suggestMatch(service, [...services, service]) }];
  });
}

/** Of a program that has ended only this is known. */
function suggestGone({ exe, user, unit }: Talker): Suggestion {
  const process = { exe: exe.replace(/[\\*?[]/g, '\\$&'), ...(user === undefined ? {} : { user }) };
  const isService = unit?.endsWith('.service') ?? false;
  return {
    match: { ...(isService ? { systemdUnit: unit! } : {}), process },
    name: toName(exe.split('/').at(-1) ?? ''),
    confidence: isService ? 0.7 : 0.4,
    notes: ['has ended: arguments are not known any more'],
    isFailsafe: false,
  };
}

function toTalker(
  { host, baseUrl }: DiscoverInput,
  talker: Talker,
  suggestion: Suggestion,
  main: HostProcess | undefined,
  name: string,
): DiscoveredService {
  const body = { labels: { app: name }, match: [suggestion.match] };
  const { pid, exe, user, unit, talksTo, lastSeen } = talker;
  return {
    host,
    kind: 'talker',
    process: {
      ...{ pid, exe },
      ...(user === undefined ? {} : { user }),
      ...(main === undefined ? {} : { startedAt: main.startedAt }),
    },
    lastSeen,
    ...(unit === undefined ? {} : { unit }),
    ...(main === undefined ? {} : { cgroup: main.cgroup }),
    listening: [],
    talksTo: [...talksTo],
    suggested: { namespace: NAMESPACE, name, ...body },
    confidence: suggestion.confidence,
    grade: claimOf(body.match).grade,
    ...(suggestion.notes.length === 0 ? {} : { note: suggestion.notes.join('; ') }),
    curl: registrationCurl(`${baseUrl}/v1/workloads/${NAMESPACE}/${name}`, body),
  };
}

function aboutOf({ main, unit }: Service): { exe?: string; user: string; unit?: string } {
  return {
    ...(main.exe === undefined ? {} : { exe: main.exe }),
    user: main.user,
    ...(unit === undefined ? {} : { unit: unit.name }),
  };
}

function byConfidence(
  a: { isFailsafe: boolean; confidence: number },
  b: { isFailsafe: boolean; confidence: number },
): number {
  return Number(a.isFailsafe) - Number(b.isFailsafe) || b.confidence - a.confidence;
}
