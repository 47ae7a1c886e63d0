import { readFileSync, readlinkSync } from 'node:fs';
import { FAILSAFE_EXECUTABLES } from '../core/gateways.ts';
import type { Container } from '../core/match-place.ts';
import { ownersOf } from './listening.ts';
import { type HostLook, scanSlowly } from './look-slowly.ts';
import { runCalmly, type Steps } from './steps.ts';
import type { UserNames } from './user-names.ts';

const EVERY_MS = 30_000;
const FAILSAFE = new Set(FAILSAFE_EXECUTABLES);

export interface Seen {
  /** What no rule cuts off, as it is here: `22/TCP sshd`. */
  readonly failsafe: readonly string[];
  /** What policy neither judges nor sees, or other hosts do not: `AF_PACKET dhclient (pid 812)`. */
  readonly blind: readonly string[];
}

/** What is ahead of policy and what is out of its sight on this host: looked at every 30 s, in short turns. */
export class Surroundings {
  readonly #users: UserNames;
  readonly #containerOf: (cgroup: string) => Container | undefined;
  readonly #log: (message: string) => void;
  readonly #timer: NodeJS.Timeout;
  #seen: Seen = { failsafe: [], blind: [] };

  constructor(
    users: UserNames,
    containerOf: (cgroup: string) => Container | undefined,
    log: (message: string) => void,
  ) {
    this.#users = users;
    this.#containerOf = containerOf;
    this.#log = log;
    this.#timer = setInterval(() => void this.#look(), EVERY_MS);
    void this.#look();
  }

  get seen(): Seen {
    return this.#seen;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    try {
      const look = await scanSlowly(this.#users);
      const blind = [...(await packetUsers(look)), ...hiddenContainers(look, this.#containerOf)];
      this.#seen = { failsafe: failsafeOf(look), blind };
    } catch (error) {
      this.#log(`look at the host: ${(error as Error).message}`);
    }
  }
}

export function failsafeOf({ processes, sockets }: HostLook): string[] {
  const found = new Set<string>();
  for (const { pid, exe, uid } of processes) {
    if (exe === undefined || uid !== 0 || !FAILSAFE.has(exe)) continue;
    const name = exe.split('/').at(-1)!;
    const ports = sockets.filter(({ pids }) => pids.includes(pid));
    const texts = ports.map(({ port, protocol }) => `${port}/${protocol === 6 ? 'TCP' : 'UDP'} ${name}`);
    for (const text of texts.length === 0 ? [name] : texts) found.add(text);
  }
  return [...found].sort();
}

/** Containers in a network of their own: where it is masqueraded (Docker's and Podman's bridges), other hosts see this host's address. */
export function hiddenContainers(
  { processes }: Pick<HostLook, 'processes'>,
  containerOf: (cgroup: string) => Container | undefined,
  hostNetns = ownNetns(),
): string[] {
  const hidden = new Set<string>();
  for (const { netns, cgroup } of processes) {
    const container = netns === 0 || netns === hostNetns ? undefined : containerOf(cgroup);
    if (container !== undefined) hidden.add(container.id);
  }
  const { size } = hidden;
  return size === 0 ? [] : [`${size} ${size === 1 ? 'container' : 'containers'} behind masquerade`];
}

function ownNetns(): number {
  return Number(/\d+/.exec(readlinkSync('/proc/self/ns/net'))![0]);
}

/** Holders of packet sockets: they write and read below every hook. */
export function packetUsers(look: HostLook, procPath = '/proc'): Promise<string[]> {
  return runCalmly(packetScan(look, procPath));
}

function* packetScan({ processes }: HostLook, procPath: string): Steps<string[]> {
  const inodes = new Map<number, true>();
  const seen = new Set<number>();
  for (const { pid, netns } of processes) {
    if (seen.has(netns)) continue;
    seen.add(netns);
    for (const inode of packetInodes(`${procPath}/${pid}/net/packet`)) inodes.set(inode, true);
    yield;
  }
  if (inodes.size === 0) return [];
  const owners = new Map<number, number[]>();
  for (const { pid } of processes) {
    ownersOf(pid, inodes, owners, undefined, procPath);
    yield;
  }
  const holders = new Set([...owners.values()].flat());
  const named = processes.filter(({ pid }) => holders.has(pid));
  return named.map(({ pid, exe, args }) => `AF_PACKET ${(exe ?? args[0] ?? '?').split('/').at(-1)} (pid ${pid})`);
}

/** Last column of each line after the heading. */
function packetInodes(path: string): number[] {
  try {
    const lines = readFileSync(path, 'latin1').trim().split('\n').slice(1);
    return lines.map((line) => Number(line.trim().split(/\s+/).at(-1)));
  } catch {
    return []; // no packet sockets in this kernel, or the process has ended
  }
}
