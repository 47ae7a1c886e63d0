import type { Endpoint } from '../api/endpoint.ts';
import { decideProcess } from '../core/match-decide.ts';
import type { MatchProgram, ProgramClause, RegisteredWorkload } from '../core/match-program.ts';
import type { OwnedSocket } from './listening.ts';
import { type Placed, placedOf } from './placed.ts';
import { type HostProcess, toFacts } from './process-scan.ts';

/** A process that has a label, as the kernel keeps it. */
export interface LabelledProcess {
  readonly process: HostProcess;
  /** `namespace/name` */
  readonly workload: string;
  /** In force; absent = the workload's own. */
  readonly identity?: number;
  /** Place in the workload's `match`; absent for `run`. */
  readonly clause?: number;
  readonly claim?: ProgramClause;
  readonly origin: NonNullable<Endpoint['why']>['origin'];
  readonly grade: 'firstPacket' | 'late';
  /** The process that gained the label; itself unless inherited. It may have ended. */
  readonly gainedBy: number;
  /** Start of that process, when it has ended and somebody remembers. */
  readonly gainedByTicks?: number;
  /** Where it was gained. `id` is the inode number of the cgroup's folder. */
  readonly gainedIn?: { readonly id: string; readonly isCgroupLabel: boolean };
  /** Its workload is not settled yet (a late clause is being decided). */
  readonly isProvisional?: boolean;
  /** The kernel saw only a part of its arguments, environment or path. */
  readonly isCut?: boolean;
}

export interface EndpointContext {
  readonly host: string;
  readonly program: MatchProgram;
  readonly workloads: ReadonlyMap<string, RegisteredWorkload>;
  readonly sockets: readonly OwnedSocket[];
  readonly labelsOf: (identity: number) => readonly string[];
  readonly derivedOf?: (process: HostProcess) => readonly string[];
  readonly policyOf: (identity: number) => Required<Pick<Endpoint, 'mode' | 'policy'>>;
}

/**
 * Endpoints are (host, workload, gain): for units and cgroups the gain is the cgroup, for the rest the process that
 * gained the label, with every process that inherited it. Sorted by id.
 */
export function toEndpoints(labelled: readonly LabelledProcess[], context: EndpointContext): Endpoint[] {
  const groups = new Map<string, LabelledProcess[]>();
  for (const member of labelled) {
    const key = `${member.workload} ${gainOf(member)}`;
    groups.set(key, [...(groups.get(key) ?? []), member]);
  }
  const endpoints = [...groups.values()].flatMap((members) => toEndpoint(members, context) ?? []);
  return endpoints.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

function toEndpoint(unsorted: readonly LabelledProcess[], context: EndpointContext): Endpoint | undefined {
  const members = [...unsorted].sort(
    (a, b) => a.process.startTicks - b.process.startTicks || a.process.pid - b.process.pid,
  );
  // The one that gained it speaks for all; when it has ended, the oldest that is left.
  const first = members.find((member) => member.process.pid === member.gainedBy) ?? members[0];
  const workload = first && context.workloads.get(first.workload);
  if (first === undefined || workload === undefined) return undefined;
  const beats = beatenBy(first, context);
  const identity = first.identity ?? workload.identity;
  return {
    id: `${context.host}/${instanceOf(first)}`,
    workload: first.workload,
    host: context.host,
    identity,
    labels: [...context.labelsOf(identity)],
    ...(context.derivedOf === undefined ? {} : { derived: [...context.derivedOf(first.process)] }),
    why: {
      ...(first.clause === undefined ? {} : { clause: first.clause }),
      origin: first.origin,
      grade: first.grade,
      beats,
      ...(members.some(({ isCut }) => isCut) ? { cut: true } : {}),
    },
    state: stateOf(members, placedOf(context.program).get(first.workload), beats),
    processes: members.map(({ process }) => ({
      pid: process.pid,
      exe: process.exe ?? '',
      user: process.user,
      startedAt: process.startedAt,
    })),
    cgroup: first.process.cgroup,
    listening: listeningOf(new Set(members.map((member) => member.process.pid)), context.sockets),
    ...context.policyOf(identity),
  };
}

/** IP protocol, port and address of what these processes listen on, in the words of the API; each once. */
export function listeningOf(
  pids: ReadonlySet<number>,
  sockets: readonly OwnedSocket[],
): NonNullable<Endpoint['listening']> {
  const listening = new Map<string, { port: number; protocol: string; address: string }>();
  for (const { protocol, port, address, pids: owners } of sockets) {
    if (!owners.some((pid) => pids.has(pid))) continue;
    listening.set(`${protocol} ${port} ${address}`, { port, protocol: protocol === 6 ? 'TCP' : 'UDP', address });
  }
  return [...listening.values()];
}

function gainOf(member: LabelledProcess): string {
  return member.gainedIn?.isCgroupLabel ? `cgroup ${member.gainedIn.id}` : `process ${member.gainedBy}`;
}

function instanceOf(first: LabelledProcess): string {
  const { process, gainedBy, gainedByTicks, gainedIn } = first;
  if (gainedIn?.isCgroupLabel) return gainedIn.id;
  if (process.pid !== gainedBy && gainedByTicks !== undefined) return `${gainedBy}-${gainedByTicks}`;
  return `${process.pid}-${process.startTicks}`;
}

function beatenBy(
  { process, workload, origin }: LabelledProcess,
  context: EndpointContext,
): { workload: string; by: string }[] {
  const listening = context.sockets.filter(({ pids }) => pids.includes(process.pid));
  const decision = decideProcess(context.program, { ...toFacts(process), listening });
  const own = decision.clause?.workload;
  if (origin === 'run') return own === undefined || own === workload ? [] : [{ workload: own, by: 'run' }];
  return own === workload ? [...decision.beats] : [];
}

function stateOf(
  members: readonly LabelledProcess[],
  placed: Placed | undefined,
  beats: readonly { by: string }[],
): Endpoint['state'] {
  if (members.some((member) => member.isProvisional)) return 'provisional';
  if (beats.some(({ by }) => by === 'created')) return 'conflict';
  return members[0]?.origin !== 'run' && isDrifted(members, placed) ? 'drifted' : 'ok';
}

/** It is registered with a unit or cgroup, and this runs, recognised by something else, outside of each. */
function isDrifted(members: readonly LabelledProcess[], placed: Placed | undefined): boolean {
  return placed !== undefined && !members.some(({ process }) => placed.holds(process.cgroup));
}
