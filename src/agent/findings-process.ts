import { readFileSync, readlinkSync } from 'node:fs';
import { has } from './findings-capability.ts';
import type { Who } from './findings-path.ts';

/** What a process may do besides what policy says of it. */
export interface Privileges {
  /** As files are opened. */
  readonly who: Who;
  /** Effective, permitted or ambient, over this host: 0 in a user namespace of its own. */
  readonly held: bigint;
  readonly ambient: bigint;
  /** What an exec can give it, 0 likewise. */
  readonly gainable: bigint;
  /** Names of its namespaces; `root` tells roots apart, also of a chroot. */
  readonly mounts: string;
  readonly pids: string;
  readonly root: string;
}

/** Undefined when it has ended, or may not be read. */
export function readPrivileges(pid: number, procPath = '/proc'): Privileges | undefined {
  const folder = `${procPath}/${pid}`;
  try {
    const isHere = readlinkSync(`${folder}/ns/user`) === readlinkSync(`${procPath}/self/ns/user`);
    const mounts = readlinkSync(`${folder}/ns/mnt`);
    const read = parseStatus(readFileSync(`${folder}/status`, 'latin1'));
    const effective = isHere ? read.effective : 0n;
    return {
      who: {
        uid: read.uid,
        groups: read.groups,
        overrides: has(effective, 'CAP_DAC_OVERRIDE'),
        searches: has(effective, 'CAP_DAC_READ_SEARCH'),
      },
      held: isHere ? read.effective | read.permitted | read.ambient : 0n,
      ambient: isHere ? read.ambient : 0n,
      gainable: isHere && !read.noNewPrivs ? read.bounding : 0n,
      mounts,
      pids: readlinkSync(`${folder}/ns/pid`),
      root: `${mounts} ${readlinkSync(`${folder}/root`)}`,
    };
  } catch (error) {
    if (UNREADABLE.has((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

const UNREADABLE = new Set(['ENOENT', 'ESRCH', 'EACCES', 'EPERM']);

/** Of /proc/PID/status: the ids as files are opened, and the capability sets. */
export function parseStatus(text: string) {
  const field = (name: string): string => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(text)?.[1] ?? '';
  const numbers = (name: string): number[] => field(name).split(/\s+/).filter(Boolean).map(Number);
  const mask = (name: string): bigint => BigInt(`0x${field(name) || '0'}`);
  return {
    uid: numbers('Uid')[3] ?? -1,
    groups: new Set([numbers('Gid')[3] ?? -1, ...numbers('Groups')]) as ReadonlySet<number>,
    permitted: mask('CapPrm'),
    effective: mask('CapEff'),
    bounding: mask('CapBnd'),
    ambient: mask('CapAmb'),
    noNewPrivs: field('NoNewPrivs') === '1',
  };
}
