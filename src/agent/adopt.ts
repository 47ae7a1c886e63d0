import { readFileSync } from 'node:fs';
import type { Adopted } from '../api/run.ts';
import { suggestMatch } from './discover-match.ts';
import { scanSlowly } from './look-slowly.ts';
import { type HostProcess, parseStat } from './process-scan.ts';
import { findServices, type Service } from './service-groups.ts';
import { unitOf } from './unit-of.ts';
import type { UserNames } from './user-names.ts';

/** The process, and with `tree` what descends from it, parents first. Reads /proc/PID/stat only. */
export function processTree(pid: number, pids: readonly number[], tree: boolean): number[] {
  if (!tree) return [pid];
  const children = new Map<number, number[]>();
  for (const other of pids) {
    const parent = parentOf(other);
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), other]);
  }
  const found = [pid];
  for (const next of found) for (const child of children.get(next) ?? []) if (!found.includes(child)) found.push(child);
  return found;
}

/** The clause that would name this process from its next start on, as discover would propose it. */
export async function suggestClause(pid: number, users: UserNames): Promise<Adopted['suggested'] | undefined> {
  const { processes, sockets } = await scanSlowly(users);
  const process = processes.find((candidate) => candidate.pid === pid);
  if (process === undefined) return undefined;
  const services = findServices({ processes, sockets, isClaimed: () => false });
  const known = services.find(({ members }) => members.some((member) => member.pid === pid));
  const service = known ?? alone(process);
  const { match, confidence, notes } = suggestMatch(service, known === undefined ? [...services, service] : services);
  return { match, confidence, ...(notes.length === 0 ? {} : { note: notes.join('; ') }) };
}

function alone(process: HostProcess): Service {
  return { main: process, members: [process], sockets: [], unit: unitOf(process.cgroup) };
}

function parentOf(pid: number): number | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1')).ppid;
  } catch {
    return undefined;
  }
}
