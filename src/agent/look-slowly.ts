import { readdirSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type OwnedSocket, ownersOf, readListening, toOwned } from './listening.ts';
import { type HostProcess, readProcess } from './process-scan.ts';
import type { UserNames } from './user-names.ts';

/** A look at /proc gives the event loop back after this: a revision that arrives meanwhile waits no longer. */
const TURN_MS = 3;

export interface HostLook {
  readonly processes: readonly HostProcess[];
  readonly sockets: readonly OwnedSocket[];
}

/**
 * The whole host as `scanProcesses` and `scanListening` see it, in many short turns. It is no snapshot: a process that starts
 * or ends meanwhile may be missing.
 */
export async function scanSlowly(users: UserNames, withEnv = false): Promise<HostLook> {
  const turn = turns();
  const processes: HostProcess[] = [];
  for (const pid of pidsOf()) {
    const process = readProcess(pid, users, '/proc', withEnv);
    if (process !== undefined) processes.push(process);
    await turn();
  }
  const found = new Map<number, Omit<OwnedSocket, 'pids'>>();
  const seen = new Set<number>();
  for (const { pid, netns } of processes) {
    if (seen.has(netns)) continue;
    const sockets = readListening(pid, netns);
    if (sockets === undefined) continue;
    seen.add(netns);
    for (const socket of sockets) found.set(socket.inode, socket);
    await turn();
  }
  const owners = new Map<number, number[]>();
  if (found.size > 0)
    for (const { pid } of processes) {
      ownersOf(pid, found, owners);
      await turn();
    }
  return { processes, sockets: toOwned(found, owners) };
}

export function pidsOf(): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number);
}

/** Awaited after each step: lets everybody else go first when the turn is over. */
export function turns(): () => Promise<void> | undefined {
  let end = performance.now() + TURN_MS;
  return () => {
    if (performance.now() < end) return undefined;
    return nextTurn().then(() => {
      end = performance.now() + TURN_MS;
    });
  };
}
