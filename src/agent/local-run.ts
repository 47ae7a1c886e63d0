import { readFileSync } from 'node:fs';
import type { PeerCred } from 'libbpf-ts/net';
import type { WireWorkload } from '../api/agent-stream.ts';
import type { Adopted, AdoptRequest, Pinned, Run, RunRequest } from '../api/run.ts';
import { selectsHost } from '../core/host-selector.ts';
import { processTree, suggestClause } from './adopt.ts';
import type { CgroupTree } from './cgroup-tree.ts';
import type { Enforcement } from './enforcement.ts';
import { reservedOrWire } from './identity-labels.ts';
import { isTrusted } from './local-access.ts';
import { LocalProblem } from './local-body.ts';
import { parseCgroup, pidsOf } from './process-scan.ts';
import type { RunCgroups } from './run-cgroup.ts';
import { type RunPins, startTicksOf } from './run-pin.ts';
import type { UserNames } from './user-names.ts';

export interface RunSources {
  readonly pins: RunPins;
  readonly cgroups: RunCgroups;
  readonly tree: CgroupTree;
  readonly enforcement: Enforcement;
  readonly users: UserNames;
  readonly hostLabels: Readonly<Record<string, string>>;
  /** `namespace/name` of a process that is a workload already. */
  readonly workloadOf: (pid: number) => string | undefined;
  /** After a process that had sockets got another label. */
  readonly onRelabel: () => void;
}

/**
 * `POST /v1/run`: a cgroup of its own for the caller, its label confirmed, before it execs. For root, and for users in the
 * workload's `runBy`; a process that is a workload itself needs to be named there, or it could leave its label this way.
 */
export async function runUnder(request: RunRequest, caller: PeerCred, sources: RunSources): Promise<Pinned> {
  const { pins, cgroups, tree } = sources;
  const workload = findWorkload(request.workload, sources);
  requireRunner(workload, caller, sources);
  const pid = request.pid ?? caller.pid;
  requireOwn(pid, caller);
  const startTicks = startTicksOf(pid);
  if (startTicks === undefined) throw gone(pid);
  const cgroup = await cgroups.make(request.workload, pid).catch((error: Error) => {
    throw new LocalProblem(500, `Cannot make a cgroup for ${request.workload}: ${error.message}`);
  });
  const cgroupId = tree.id(cgroup) ?? 0;
  const by = `uid:${caller.uid}`;
  await pins.add({ workload: request.workload, kind: 'run', pid, startTicks, cgroup, cgroupId, by });
  // the caller goes on only when the kernel has it
  if (startTicksOf(pid) !== startTicks) throw gone(pid);
  return toPinned(workload, pid, cgroup, sources);
}

/** `POST /v1/adopt`: a process that runs, until it exits; what it forks from now on has the label too. For root. */
export async function adopt(request: AdoptRequest, caller: PeerCred, sources: RunSources): Promise<Adopted> {
  const { pins, tree, users, workloadOf } = sources;
  const { pid } = request;
  const workload = findWorkload(request.workload, sources);
  if (!isTrusted(caller))
    throw notAllowed(`uid ${caller.uid} may not adopt processes: root may`, 'run it as root (sudo)');
  requireUnnamed(caller, sources);
  const startTicks = startTicksOf(pid);
  if (startTicks === undefined) throw gone(pid);
  if (pid === 1 || pid === process.pid)
    throw new LocalProblem(422, `Process ${pid} is ${pid === 1 ? 'the init of this host' : 'the agent'}`);
  // before it is a workload: what it was is what the clause must tell apart
  const suggested = await suggestClause(pid, users);
  if (suggested === undefined || startTicksOf(pid) !== startTicks) throw gone(pid);
  const before = new Set([workloadOf(pid)]);
  const cgroup = cgroupOf(pid);
  const by = `uid:${caller.uid}`;
  const pin = await pins.add({
    ...{ workload: request.workload, kind: 'adopt', pid, startTicks, by },
    ...{ cgroup, cgroupId: tree.id(cgroup) ?? 0 },
  });
  const pids = new Set([pid]);
  // A child that was forked before its parent was pinned shows up in the next round.
  for (let round = 0; round < 3 && request.tree === true; round++)
    for (const member of processTree(pid, pidsOf(), true)) {
      if (pids.has(member)) continue;
      before.add(workloadOf(member));
      if (pins.pin(pin, member)) pids.add(member);
    }
  sources.onRelabel();
  const from = [...before].filter((name) => name !== undefined && name !== request.workload).sort() as string[];
  return { ...toPinned(workload, pid, cgroup, sources), pids: [...pids], from, suggested };
}

export function listRuns({ pins }: RunSources): Run[] {
  return pins.all.map(({ workload, kind, pid, cgroup, by, since }) => ({ workload, kind, pid, cgroup, by, since }));
}

function findWorkload(ref: string, { enforcement, hostLabels }: RunSources): WireWorkload {
  const workload = enforcement.applied.workloads.get(ref);
  if (workload === undefined)
    throw new LocalProblem(
      404,
      `There is no workload ${ref} on this host`,
      'postern workload list shows which there are',
    );
  if (workload.addresses !== undefined)
    throw new LocalProblem(422, `${ref} is a peer without an agent (addresses): nothing runs under it here`);
  if (!selectsHost(workload.hosts, hostLabels))
    throw new LocalProblem(422, `${ref} is registered for other hosts: its hosts do not select this one`);
  return workload;
}

function requireRunner({ namespace, name, runBy = [] }: WireWorkload, caller: PeerCred, sources: RunSources): void {
  const ref = `${namespace}/${name}`;
  const isNamed = runBy.some((user) => user === String(caller.uid) || sources.users.uidOf(user) === caller.uid);
  if (isNamed) return;
  const who = `${sources.users.nameOf(caller.uid)} (uid ${caller.uid})`;
  if (!isTrusted(caller))
    throw notAllowed(
      `${who} may not run anything under ${ref}: root may, and who is in its runBy`,
      `sudo postern run --workload ${ref} -- …, or add the user to runBy`,
    );
  requireUnnamed(caller, sources);
}

/** A workload must not get out of its label by naming another one. */
function requireUnnamed(caller: PeerCred, { workloadOf }: RunSources): void {
  const own = workloadOf(caller.pid);
  if (own !== undefined)
    throw notAllowed(
      `The caller is workload ${own}, and would get out of its label`,
      'call from a shell that is no workload, or name the user in runBy',
    );
}

/** Itself, or the shell that becomes the command: its parent, of the same user. */
function requireOwn(pid: number, caller: PeerCred): void {
  if (caller.pid === 0)
    throw new LocalProblem(422, 'The caller is in another pid namespace: its process is not known here');
  if (pid === caller.pid) return;
  const parent = readStatus(caller.pid);
  const target = readStatus(pid);
  if (target === undefined) throw gone(pid);
  if (parent?.ppid !== pid || target.uids.some((uid) => uid !== caller.uid))
    throw notAllowed(
      `Process ${pid} is not the caller's own: postern run starts commands, postern workload adopt takes processes`,
    );
}

function readStatus(pid: number): { ppid: number; uids: number[] } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'latin1');
    const uids = /^Uid:\t(.*)$/m.exec(text)?.[1]?.split('\t').map(Number) ?? [];
    return { ppid: Number(/^PPid:\t(\d+)$/m.exec(text)?.[1]), uids };
  } catch {
    return undefined;
  }
}

function toPinned(
  { namespace, name, identity }: WireWorkload,
  pid: number,
  cgroup: string,
  sources: RunSources,
): Pinned {
  const labels = [...reservedOrWire(sources.enforcement.applied, identity)];
  return { workload: `${namespace}/${name}`, identity, labels, pid, cgroup: `/${cgroup}` };
}

function cgroupOf(pid: number): string {
  return parseCgroup(readFileSync(`/proc/${pid}/cgroup`, 'utf8')).replace(/^\//, '');
}

function gone(pid: number): LocalProblem {
  return new LocalProblem(404, `There is no process ${pid} (any more)`);
}

function notAllowed(message: string, hint?: string): LocalProblem {
  return new LocalProblem(403, message, hint);
}
