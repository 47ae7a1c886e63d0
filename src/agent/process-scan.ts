import { readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { scriptFileOf } from '../core/interpreter.ts';
import { runAtOnce, type Steps } from './steps.ts';
import type { UserNames } from './user-names.ts';

/** What runs on this host, read from /proc. Kernel threads and zombies are no processes here. */
export interface HostProcess {
  readonly pid: number;
  readonly ppid: number;
  /** Since boot, in clock ticks: with the pid, the name of a process for ever. */
  readonly startTicks: number;
  /** RFC 3339. */
  readonly startedAt: string;
  /** Resolved, without ` (deleted)`; absent when it cannot be read. */
  readonly exe?: string;
  /** The file was removed or replaced after it was started (an upgrade). */
  readonly isExeGone: boolean;
  /**
   * The path is one of the host's own tree, so that a pattern may judge it: false in a container, in a user namespace
   * (whose owner can mount anything anywhere) and for a memfd.
   */
  readonly isHostPath: boolean;
  /** As the process shows it now: setproctitle rewrites it. */
  readonly args: readonly string[];
  /** Resolved path of the script or jar that an interpreter runs; absent = none, or its file is not found. */
  readonly script?: string;
  /** `NAME=value` as given to execve; only when asked for, and never for a report: secrets are in there. */
  readonly env?: readonly string[];
  /** Effective. */
  readonly uid: number;
  readonly user: string;
  /** Below the cgroup2 root, with leading slash. */
  readonly cgroup: string;
  /** Inode number of the network namespace; 0 when it cannot be read. */
  readonly netns: number;
}

export function scanProcesses(users: UserNames, procPath = '/proc', withEnv = false): HostProcess[] {
  return runAtOnce(processScan(users, procPath, withEnv));
}

export function* processScan(users: UserNames, procPath = '/proc', withEnv = false): Steps<HostProcess[]> {
  const processes: HostProcess[] = [];
  for (const pid of pidsOf(procPath)) {
    const process = readProcess(pid, users, procPath, withEnv);
    if (process !== undefined) processes.push(process);
    yield;
  }
  return processes;
}

export function pidsOf(procPath = '/proc'): number[] {
  return readdirSync(procPath)
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number);
}

/** Undefined when there is no such process, or it ended while being read. */
export function readProcess(
  pid: number,
  users: UserNames,
  procPath = '/proc',
  withEnv = false,
): HostProcess | undefined {
  const folder = `${procPath}/${pid}`;
  try {
    const stat = parseStat(readFileSync(`${folder}/stat`, 'latin1'));
    if (stat.isKernelThread || stat.isZombie) return undefined;
    const status = readFileSync(`${folder}/status`, 'latin1');
    const uid = Number(/^Uid:\t\d+\t(\d+)/m.exec(status)?.[1]);
    const exe = readExe(folder);
    const args = parseArgs(readFileSync(`${folder}/cmdline`, 'utf8'));
    const script = readScript(folder, exe?.path, args);
    const env = withEnv ? readEnv(folder) : undefined;
    const process: HostProcess = {
      pid,
      ppid: stat.ppid,
      startTicks: stat.startTicks,
      startedAt: toTime(stat.startTicks, procPath),
      ...(exe === undefined ? {} : { exe: exe.path }),
      isExeGone: exe?.isGone ?? false,
      isHostPath: exe !== undefined && !exe.isMemfd && isInHostTree(folder, procPath),
      args,
      ...(script === undefined ? {} : { script }),
      ...(env === undefined ? {} : { env }),
      uid,
      user: users.nameOf(uid),
      cgroup: parseCgroup(readFileSync(`${folder}/cgroup`, 'utf8')),
      netns: readNamespace(folder, 'net'),
    };
    // The pid may have been taken over by another process between two reads.
    return parseStat(readFileSync(`${folder}/stat`, 'latin1')).startTicks === stat.startTicks ? process : undefined;
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** Has it executed nothing between two looks, as far as can be seen? */
export function isSameProgram(a: HostProcess, b: HostProcess): boolean {
  return (
    a.startTicks === b.startTicks && a.exe === b.exe && a.cgroup === b.cgroup && a.args.join('\0') === b.args.join('\0')
  );
}

/** What a pattern may be held against; without `exe` and `script` where the path is not the host's. */
export function toFacts(process: HostProcess): {
  pid: number;
  ppid: number;
  exe?: string;
  args: readonly string[];
  script?: string;
  env?: readonly string[];
  uid: number;
  cgroup: string;
} {
  const { pid, ppid, args, script, env, uid, cgroup } = process;
  return {
    pid,
    ppid,
    ...(process.isHostPath && process.exe !== undefined ? { exe: process.exe } : {}),
    args,
    ...(process.isHostPath && script !== undefined ? { script } : {}),
    ...(env === undefined ? {} : { env }),
    uid,
    cgroup,
  };
}

export function parseStat(text: string): {
  ppid: number;
  startTicks: number;
  isKernelThread: boolean;
  isZombie: boolean;
} {
  // The name in parentheses may hold anything, also ") ": the fields begin after the last one.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const PF_KTHREAD = 0x00200000;
  return {
    ppid: Number(fields[1]),
    startTicks: Number(fields[19]),
    isKernelThread: (Number(fields[6]) & PF_KTHREAD) !== 0,
    isZombie: fields[0] === 'Z' || fields[0] === 'X',
  };
}

export function parseCgroup(text: string): string {
  return /^0::(.*)$/m.exec(text)?.[1] ?? '/';
}

export function parseArgs(cmdline: string): string[] {
  const args = cmdline.split('\0');
  if (args.at(-1) === '') args.pop();
  return args;
}

function readExe(folder: string): { path: string; isGone: boolean; isMemfd: boolean } | undefined {
  let link: string;
  try {
    link = readlinkSync(`${folder}/exe`);
  } catch (error) {
    if (isGone(error) || isDenied(error)) return undefined;
    throw error;
  }
  const isRemoved = link.endsWith(DELETED) && (statSync(`${folder}/exe`, { throwIfNoEntry: false })?.nlink ?? 0) === 0;
  const path = isRemoved ? link.slice(0, -DELETED.length) : link;
  return { path, isGone: isRemoved, isMemfd: isRemoved && path.startsWith('/memfd:') };
}

/** A relative name is looked up where the process is now: one that went elsewhere since has no script any more. */
function readScript(folder: string, exe: string | undefined, args: readonly string[]): string | undefined {
  const file = scriptFileOf({ ...(exe === undefined ? {} : { exe }), args });
  if (file === undefined) return undefined;
  try {
    const path = realpathSync(resolve(readlinkSync(`${folder}/cwd`), file));
    return statSync(path).isFile() ? path : undefined;
  } catch (error) {
    if (isGone(error) || isDenied(error) || isNoFolder(error)) return undefined;
    throw error;
  }
}

function readEnv(folder: string): string[] | undefined {
  try {
    return parseArgs(readFileSync(`${folder}/environ`, 'utf8'));
  } catch (error) {
    if (isGone(error) || isDenied(error)) return undefined;
    throw error;
  }
}

const DELETED = ' (deleted)';

function isInHostTree(folder: string, procPath: string): boolean {
  try {
    const own = `${procPath}/self`;
    return (
      readNamespace(folder, 'user') === readNamespace(own, 'user') &&
      (readNamespace(folder, 'mnt') === readNamespace(own, 'mnt') ||
        statSync(`${folder}/root`).dev === statSync('/').dev)
    );
  } catch (error) {
    if (isDenied(error)) return false;
    throw error;
  }
}

function readNamespace(folder: string, kind: 'net' | 'mnt' | 'user'): number {
  try {
    return Number(/\d+/.exec(readlinkSync(`${folder}/ns/${kind}`))?.[0] ?? 0);
  } catch (error) {
    if (isDenied(error)) return 0;
    throw error;
  }
}

/** Clock ticks are 100 per second to user space on every architecture that Linux has Node for. */
function toTime(startTicks: number, procPath: string): string {
  bootSeconds ??= Number(/^btime (\d+)$/m.exec(readFileSync(`${procPath}/stat`, 'latin1'))?.[1] ?? 0);
  return new Date(bootSeconds * 1000 + startTicks * 10).toISOString();
}

let bootSeconds: number | undefined;

function isGone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ESRCH';
}

function isNoFolder(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOTDIR' || code === 'ELOOP' || code === 'ENAMETOOLONG';
}

function isDenied(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'EACCES' || code === 'EPERM';
}
