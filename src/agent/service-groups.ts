import { FAILSAFE_EXECUTABLES } from '../core/gateways.ts';
import { scriptOf } from '../core/interpreter.ts';
import type { OwnedSocket } from './listening.ts';
import type { HostProcess } from './process-scan.ts';
import { unitOf } from './unit-of.ts';

/** One service: the processes that share listening sockets, and what the rest is asked of. */
export interface Service {
  /** The oldest that listens: the master, not its workers. */
  readonly main: HostProcess;
  readonly members: readonly HostProcess[];
  readonly sockets: readonly OwnedSocket[];
  readonly unit: ReturnType<typeof unitOf>;
  /** As its runtime calls it. */
  readonly container?: { readonly name: string };
}

export interface ServiceInput {
  readonly processes: readonly HostProcess[];
  readonly sockets: readonly OwnedSocket[];
  /** Has a workload, or is one of Postern's own. */
  readonly isClaimed: (pid: number) => boolean;
  /** UDP ports in here were chosen by the kernel for a client (ip_local_port_range). */
  readonly ephemeralPorts?: readonly [from: number, to: number];
  /** The container in which a cgroup is. */
  readonly containerOf?: (cgroup: string) => { readonly name: string } | undefined;
}

export function findServices({
  processes,
  sockets,
  isClaimed,
  ephemeralPorts = [32768, 60999],
  containerOf = () => undefined,
}: ServiceInput): Service[] {
  const byPid = new Map(processes.map((process) => [process.pid, process]));
  const groups: { pids: Set<number>; sockets: OwnedSocket[] }[] = [];
  for (const socket of sockets) {
    const isClient = socket.protocol === 17 && socket.port >= ephemeralPorts[0] && socket.port <= ephemeralPorts[1];
    const holders = socket.pids.filter((pid) => byPid.has(pid));
    // systemd holds the sockets of .socket units beside the service that it starts with them.
    const owners = holders.length > 1 ? holders.filter((pid) => !isSystemd(byPid.get(pid)!)) : holders;
    if (isClient || owners.length === 0 || owners.some(isClaimed)) continue;
    const joined = groups.filter((group) => owners.some((pid) => group.pids.has(pid)));
    const group = {
      pids: new Set([...owners, ...joined.flatMap(({ pids }) => [...pids])]),
      sockets: [...joined.flatMap((g) => g.sockets), socket],
    };
    for (const old of joined) groups.splice(groups.indexOf(old), 1);
    groups.push(group);
  }
  const services = groups.map((group) =>
    toService(
      [...group.pids].map((pid) => byPid.get(pid)!),
      group.sockets,
    ),
  );
  return mergeByUnit(services).map((service) => {
    const container = containerOf(service.main.cgroup);
    return container === undefined ? service : { ...service, container: { name: container.name } };
  });
}

function toService(members: readonly HostProcess[], sockets: readonly OwnedSocket[]): Service {
  const sorted = [...members].sort((a, b) => a.startTicks - b.startTicks || a.pid - b.pid);
  const main = sorted[0]!;
  return { main, members: sorted, sockets, unit: unitOf(main.cgroup) };
}

/** Several services of one unit are one when they run the same program; instances of one command line are one too. */
function mergeByUnit(services: readonly Service[]): Service[] {
  const merged = new Map<string, Service>();
  for (const service of services) {
    const { main, unit } = service;
    const isOneProgram =
      unit?.kind === 'service' &&
      services.every((other) => other.unit?.path !== unit.path || other.main.exe === main.exe);
    const isScripted =
      isOneProgram && new Set(services.filter((s) => s.unit?.path === unit.path).map((s) => scriptOf(s.main))).size > 1;
    const key =
      isOneProgram && !isScripted
        ? `unit ${unit.path}`
        : JSON.stringify([unit?.path ?? main.cgroup, main.exe, main.uid, main.args]);
    const known = merged.get(key);
    merged.set(
      key,
      known === undefined
        ? service
        : toService([...known.members, ...service.members], [...known.sockets, ...service.sockets]),
    );
  }
  return [...merged.values()];
}

/** PID 1 that manages units; in a container or on an old host it is something else. */
export function isSystemd({ pid, exe }: HostProcess): boolean {
  return pid === 1 && /\/(systemd|init)$/.test(exe ?? '');
}

export function isFailsafe(exe: string | undefined): boolean {
  return exe !== undefined && FAILSAFE.has(exe);
}

const FAILSAFE = new Set(FAILSAFE_EXECUTABLES);
