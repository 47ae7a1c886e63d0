/**
 * Rule 14: who holds what is stronger than policy. Told, with what closes it. Processes of one workload in one unit make
 * one finding of each kind.
 */
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import type { Finding } from '../api/findings.ts';
import type { LabelledProcess } from './endpoint.ts';
import { namesOf, strongerOf } from './findings-capability.ts';
import { executablesOf, replacersOf, setUserIdProgram } from './findings-executable.ts';
import { isMounted, type Mount, readMounts } from './findings-mounts.ts';
import { type Privileges, readPrivileges } from './findings-process.ts';
import { reachableSockets } from './findings-socket.ts';
import { type Seen, type Trait, toFindings } from './findings-text.ts';
import { type Accounts, accountsOf } from './findings-writers.ts';
import type { HostProcess } from './process-scan.ts';
import type { Steps } from './steps.ts';
import { type Unit, unitOf } from './unit-of.ts';

export interface LookInput {
  readonly host: string;
  readonly labelled: Steps<readonly Pick<LabelledProcess, 'process' | 'workload'>[]>;
  /** Mount point of cgroup2. */
  readonly cgroupMount: string;
  /** Why frames of packet sockets are not judged; absent = they are, or nobody sends any. */
  readonly noGuard?: string | undefined;
  readonly procPath?: string;
}

interface Member {
  readonly process: HostProcess;
  readonly workload: string;
  readonly unit: Unit | undefined;
  readonly privileges: Privileges;
}

/** In steps of less than a millisecond: one process, or one question about one kind of process. */
export function* findingsLook(input: LookInput): Steps<Finding[]> {
  const { host, noGuard, procPath = '/proc' } = input;
  const accounts = accountsOf();
  const mounts = new Map<string, readonly Mount[]>();
  const asked = new Map<string, readonly Trait[]>();
  const seen: Seen[] = [];
  const members: Member[] = [];
  for (const { process, workload } of yield* input.labelled) {
    const privileges = readPrivileges(process.pid, procPath);
    if (privileges !== undefined) members.push({ process, workload, unit: unitOf(process.cgroup), privileges });
    yield;
  }
  const sharing = sharedUsers(members);
  for (const member of members) {
    const key = likeness(member);
    let traits = asked.get(key);
    if (traits === undefined) {
      traits = yield* traitsOf(member, { accounts, mounts, procPath, cgroupMount: input.cgroupMount });
      asked.set(key, traits);
    }
    seen.push({ ...member, traits: [...traits, ...sharing(member)] });
    yield;
  }
  return yield* toFindings(seen, host, noGuard);
}

interface LookContext extends Pick<LookInput, 'cgroupMount'> {
  readonly accounts: Accounts;
  /** By mount namespace. */
  readonly mounts: Map<string, readonly Mount[]>;
  readonly procPath: string;
}

function* traitsOf({ process, privileges }: Member, context: LookContext): Steps<Trait[]> {
  const { held, ambient, gainable, who } = privileges;
  const { accounts, procPath } = context;
  const root = `${procPath}/${process.pid}/root`;
  const isMountedSo = (path: string, option: string): boolean =>
    isMounted(mountsOf(process.pid, privileges.mounts, context), path, option);
  const traits: Trait[] = strongerOf(held).map((subject) => ({ kind: 'capability', subject }));
  const beyond = strongerOf(gainable & ~held);
  if (who.uid === 0) for (const subject of beyond) traits.push({ kind: 'capability', subject, by: 'exec' });
  const isAmbient = strongerOf(ambient).length > 0;
  if (isAmbient) {
    const rest = namesOf(ambient).filter((name) => !strongerOf(ambient).includes(name));
    traits.push({ kind: 'ambient', subject: rest.join(' ') });
  }
  const program = beyond.length === 0 || who.uid === 0 ? undefined : setUserIdProgram(who, root, isMountedSo);
  if (program !== undefined) traits.push({ kind: 'setUserId', subject: program });
  yield;
  for (const subject of reachableSockets(who, root)) traits.push({ kind: 'helperSocket', subject });
  yield;
  for (const executable of executablesOf(process, procPath)) {
    const isReadOnly = (path: string): boolean => isMountedSo(path, 'ro');
    for (const { by, paths } of replacersOf(executable, who, isReadOnly, accounts))
      traits.push({ kind: 'writableExecutable', subject: executable.path, by, at: paths });
    yield;
  }
  const owner = who.uid === 0 ? undefined : ownerOfCgroup(join(context.cgroupMount, process.cgroup));
  if (owner === who.uid) traits.push({ kind: 'delegatedCgroup', subject: process.cgroup });
  return traits;
}

function mountsOf(pid: number, namespace: string, { mounts, procPath }: LookContext): readonly Mount[] {
  const known = mounts.get(namespace) ?? readMounts(pid, procPath);
  mounts.set(namespace, known);
  return known;
}

function ownerOfCgroup(folder: string): number | undefined {
  try {
    return lstatSync(join(folder, 'cgroup.procs')).uid;
  } catch {
    return undefined; // removed meanwhile
  }
}

/** Processes alike in this have the same traits. */
function likeness({ process, privileges }: Member): string {
  const { who, held, ambient, gainable, root } = privileges;
  const { exe = '', script = '', isExeGone, cgroup } = process;
  const groups = [...who.groups].sort().join();
  return [who.uid, groups, held, ambient, gainable, root, exe, script, isExeGone, cgroup].join('\n');
}

/** Of two workloads with one user each is told, where one can see the other's processes. */
function sharedUsers(members: readonly Member[]): (member: Member) => readonly Trait[] {
  const own = readPrivileges(process.pid)?.pids;
  const workloads = new Map<number, Map<string, Set<string>>>();
  for (const { workload, privileges } of members) {
    const { who, pids } = privileges;
    const ofUser = workloads.get(who.uid) ?? new Map<string, Set<string>>();
    workloads.set(who.uid, ofUser.set(pids, (ofUser.get(pids) ?? new Set()).add(workload)));
  }
  const known = new Map<string, readonly Trait[]>();
  return ({ workload, privileges: { who, pids } }) => {
    const key = `${workload} ${who.uid} ${pids}`;
    const before = known.get(key);
    if (before !== undefined) return before;
    const visible = [...workloads.get(who.uid)!].filter(([other]) => other === pids || other === own || pids === own);
    const others = new Set(visible.flatMap(([, names]) => [...names]));
    others.delete(workload);
    const traits = [...others].map((subject): Trait => ({ kind: 'sharedUser', subject, uid: who.uid }));
    known.set(key, traits);
    return traits;
  };
}
