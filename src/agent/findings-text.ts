import type { Finding, FindingKind } from '../api/findings.ts';
import { isHigh, whatTheyDo } from './findings-capability.ts';
import { addUserCommand, restartCommand, toDropIn, type UnitNeeds, userNameFor } from './findings-fix.ts';
import type { HostProcess } from './process-scan.ts';
import type { Steps } from './steps.ts';
import type { Unit } from './unit-of.ts';

/** Something that was seen of one process. */
export interface Trait {
  /** `ambient`: no finding, names the ambient capabilities that may stay. */
  readonly kind: FindingKind | 'ambient';
  readonly subject: string;
  /** Of `capability`: `exec`, which gives it to who is root. Of `writableExecutable`: who may, and by which folders and files, from the top. */
  readonly by?: string;
  readonly at?: readonly string[];
  /** Of `sharedUser`. */
  readonly uid?: number;
}

export interface Seen {
  readonly process: HostProcess;
  readonly workload: string;
  readonly unit: Unit | undefined;
  readonly traits: readonly Trait[];
}

/** Subjects and processes that are named. */
const MOST = 10;
const ORDER = { high: 0, medium: 1, low: 2 } as const;

/** The worst first, then by id. */
export function* toFindings(seen: readonly Seen[], host: string, noGuard?: string): Steps<Finding[]> {
  const found: Finding[] = noGuard === undefined ? [] : [withoutGuard(host, noGuard)];
  for (const inUnit of Map.groupBy(seen, ({ unit }) => placeOf(unit)).values()) {
    const { unit } = inUnit[0]!;
    const needs = unit?.kind === 'service' ? needsOf(unit.name, inUnit) : undefined;
    yield;
    for (const [workload, list] of Map.groupBy(inUnit, (one) => one.workload))
      for (const [kind, holders] of byKind(list)) {
        found.push(toFinding(kind, workload, holders, needs, host));
        yield;
      }
  }
  return found.sort((a, b) => ORDER[a.severity] - ORDER[b.severity] || (a.id < b.id ? -1 : 1));
}

/** Settings are made for a service; containers are told together, and so is all else. */
function placeOf(unit: Unit | undefined): string | undefined {
  if (unit?.kind === 'service') return unit.name;
  return unit?.kind === 'container' ? 'container' : undefined;
}

function byKind(list: readonly Seen[]): Map<FindingKind, Seen[]> {
  const kinds = new Map<FindingKind, Seen[]>();
  for (const one of list)
    for (const kind of new Set(one.traits.map((trait) => trait.kind))) {
      if (kind === 'ambient') continue;
      const holders = kinds.get(kind) ?? [];
      holders.push(one);
      kinds.set(kind, holders);
    }
  return kinds;
}

function toFinding(
  kind: FindingKind,
  workload: string,
  holders: Seen[],
  needs: UnitNeeds | undefined,
  host: string,
): Finding {
  const { unit } = holders[0]!;
  const place = placeOf(unit);
  const traits = holders.flatMap((one) => one.traits.filter((trait) => trait.kind === kind));
  const subjects = subjectsOf(traits, kind);
  const processes = holders.map(({ process: { pid, exe = '', user } }) => ({ pid, exe, user }));
  processes.sort((a, b) => a.pid - b.pid);
  return {
    id: [host, workload, kind, ...(place === undefined ? [] : [place])].join('/'),
    kind,
    severity: severityOf(kind, traits),
    host,
    workload,
    ...(needs === undefined ? {} : { unit: needs.unit }),
    subjects: subjects.slice(0, MOST),
    processes: processes.slice(0, MOST),
    ...(processes.length > MOST ? { more: processes.length - MOST } : {}),
    what: whatText(kind, traits, subjects, holders),
    means: MEANS[kind] ?? whatTheyDo(subjects),
    fix: toFix(kind, traits, unit, needs),
  };
}

/** Capabilities come as strong as they are, all else by name. */
function subjectsOf(traits: readonly Trait[], kind: FindingKind): string[] {
  const subjects = [...new Set(traits.map(({ subject }) => subject))];
  return kind === 'capability' ? subjects : subjects.sort();
}

function severityOf(kind: FindingKind, traits: readonly Trait[]): Finding['severity'] {
  if (kind === 'capability') return isHigh(traits.map(({ subject }) => subject)) ? 'high' : 'medium';
  if (kind === 'writableExecutable') return traits.some(({ by }) => by === 'everybody') ? 'high' : 'medium';
  return SEVERITY[kind];
}

const SEVERITY: Readonly<Record<Exclude<FindingKind, 'capability' | 'writableExecutable'>, Finding['severity']>> = {
  helperSocket: 'high',
  sharedUser: 'medium',
  noFrameGuard: 'medium',
  setUserId: 'low',
  delegatedCgroup: 'low',
};

/** One sentence; of capabilities it is put together. */
const MEANS: Partial<Record<FindingKind, string>> = {
  setUserId: 'an exec of a program with the set-user-id bit can give it rights that are stronger than policy',
  sharedUser: 'processes of one user may trace each other and take sockets: each has what policy allows the other',
  helperSocket: 'what it asks for there is started outside of its cgroup, without its label and its policy',
  writableExecutable: 'who replaces the file is this workload, with all that policy allows it, from its next start on',
  delegatedCgroup:
    'it can make cgroups and place its processes: limits of the unit and clauses by cgroup are in its hands',
};

function whatText(kind: FindingKind, traits: readonly Trait[], subjects: readonly string[], holders: Seen[]): string {
  const list = named(subjects);
  if (kind === 'capability') return capabilityText(traits);
  if (kind === 'setUserId') return `may run ${list}: NoNewPrivileges is off`;
  if (kind === 'sharedUser') return `runs as ${usersOf(holders)}, like ${list}`;
  if (kind === 'helperSocket') return `may connect to ${list}`;
  if (kind === 'delegatedCgroup') return `owns its cgroup ${list}`;
  const ways = traits.map(
    ({ subject, by, at }) => `${subject} can be replaced by ${by}${at![0] === subject ? '' : ` (${at![0]})`}`,
  );
  return named([...new Set(ways)], '; ');
}

function capabilityText(traits: readonly Trait[]): string {
  const held = [...new Set(traits.filter(({ by }) => by !== 'exec').map(({ subject }) => subject))];
  const gained = new Set(traits.map(({ subject }) => subject).filter((subject) => !held.includes(subject)));
  const ways = [
    ...(held.length > 0 ? [`holds ${held.join(', ')}`] : []),
    ...(gained.size > 0 ? [`is root and gets ${[...gained].join(', ')} by an exec`] : []),
  ];
  return ways.join('; ');
}

function usersOf(holders: readonly Seen[]): string {
  return named([...new Set(holders.map(({ process: { user, uid } }) => `${user} (uid ${uid})`))]);
}

function toFix(
  kind: FindingKind,
  traits: readonly Trait[],
  unit: Unit | undefined,
  needs: UnitNeeds | undefined,
): Finding['fix'] {
  if (kind === 'writableExecutable') {
    if (unit?.kind === 'container') return { text: 'let it belong to root in the image, or start it with --read-only' };
    const paths = [...new Set(traits.flatMap(({ at }) => at!))].slice(0, MOST).map(shellQuote).join(' ');
    return {
      text: 'let it belong to root, and nobody else write to it',
      commands: [`chown root ${paths}`, `chmod go-w ${paths}`],
    };
  }
  if (unit?.kind === 'container') return { text: CONTAINER[kind] ?? PLAIN[kind]! };
  if (needs === undefined) return { text: `${PLAIN[kind]}; a system unit can do that by settings` };
  if (kind === 'sharedUser' && needs.sharedUid === undefined)
    return { text: 'put each of them into a unit of its own' };
  const dropIn = toDropIn(needs);
  const restart = restartCommand(needs.unit);
  if (kind !== 'sharedUser') return { text: `the drop-in for ${needs.unit}`, commands: [restart], dropIn };
  if (needs.sharedUid === 0)
    return { text: `a user of its own: in the drop-in for ${needs.unit} as a comment, to be tried by hand`, dropIn };
  const addUser = addUserCommand(userNameFor(needs.workloads[0]!));
  return { text: `a user of its own, and the drop-in for ${needs.unit}`, commands: [addUser, restart], dropIn };
}

const PLAIN: Partial<Record<FindingKind, string>> = {
  capability: 'start it without these capabilities (setpriv --bounding-set, or a user that is not root)',
  setUserId: 'start it with no_new_privs (setpriv --no-new-privs)',
  sharedUser: 'start it as a user of its own',
  helperSocket: 'take its user out of the group that owns the socket, or start it where the socket is not',
  delegatedCgroup: 'start it in a cgroup that belongs to root',
};

const CONTAINER: Partial<Record<FindingKind, string>> = {
  capability: 'start the container with --cap-drop for these, without --privileged',
  setUserId: 'start the container with --security-opt no-new-privileges',
  sharedUser: 'start the container with a --user of its own, and not with --pid host',
  helperSocket: 'start the container without a mount of the socket',
};

/** Of all workloads in the unit: there is one file for it. */
function needsOf(unit: string, inUnit: readonly Seen[]): UnitNeeds {
  const traits = inUnit.flatMap((one) => one.traits);
  const of = (kind: Trait['kind']) => [...new Set(traits.filter((one) => one.kind === kind).map((one) => one.subject))];
  const workloads = [...new Set(inUnit.map(({ workload }) => workload))].sort();
  const ambient = of('ambient').flatMap((names) => names.split(' ').filter(Boolean));
  const shared = traits.filter((one) => one.kind === 'sharedUser' && !workloads.includes(one.subject));
  return {
    unit,
    workloads,
    capabilities: of('capability').sort(),
    ...(of('ambient').length > 0 && { ambient: [...new Set(ambient)] }),
    sockets: of('helperSocket').sort(),
    ...(shared.length > 0 && { sharedUid: Math.min(...shared.map(({ uid }) => uid!)) }),
    ownsCgroup: of('delegatedCgroup').length > 0,
  };
}

function withoutGuard(host: string, why: string): Finding {
  return {
    id: `${host}/noFrameGuard`,
    kind: 'noFrameGuard',
    severity: SEVERITY.noFrameGuard,
    host,
    subjects: [],
    processes: [],
    what: `frames of packet sockets are not judged: ${why}`,
    means: 'a workload that holds CAP_NET_RAW can send by AF_PACKET whatever policy says; it is only logged',
    fix: {
      text: 'take CAP_NET_RAW from the workloads of this host, or run a kernel >= 6.6; an older one needs sch_ingress, cls_bpf and at each interface a clsact qdisc or none',
    },
  };
}

function named(list: readonly string[], separator = ', '): string {
  const rest = list.length - MOST;
  return `${list.slice(0, MOST).join(separator)}${rest > 0 ? ` and ${rest} more` : ''}`;
}

function shellQuote(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
