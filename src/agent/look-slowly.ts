import { listeningScan, type OwnedSocket } from './listening.ts';
import { type HostProcess, processScan } from './process-scan.ts';
import { runCalmly, type Steps } from './steps.ts';
import type { UserNames } from './user-names.ts';

export interface HostLook {
  readonly processes: readonly HostProcess[];
  readonly sockets: readonly OwnedSocket[];
}

/** The whole host in many short steps. It is no snapshot: a process that starts or ends meanwhile may be missing. */
export function scanSlowly(users: UserNames, withEnv = false): Promise<HostLook> {
  return runCalmly(hostScan(users, withEnv));
}

export function* hostScan(users: UserNames, withEnv = false): Steps<HostLook> {
  const processes = yield* processScan(users, '/proc', withEnv);
  const { sockets } = yield* listeningScan(processes);
  return { processes, sockets };
}
