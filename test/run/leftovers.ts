// What tests may leave behind on a machine: pins in bpffs, cgroups `postern-test*`, network namespaces `pt-*`,
// processes. Taken before the run and compared after it, so that what was there before is not blamed on a test.
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export type Leftovers = readonly { kind: string; name: string }[];
export type MachineSnapshot = ReadonlySet<string>;

const run = randomUUID();

/** In the environment of a test file's process (POSTERN_TEST_RUN), and so of all that it starts. */
export function testMarker(path: string): string {
  return `${run}:${path}`;
}

export function snapshotMachine(): MachineSnapshot {
  return new Set(everything().map(key));
}

export function findLeftovers(before: MachineSnapshot): Leftovers {
  const left = everything().filter((thing) => !before.has(key(thing)));
  return left.filter(({ name }) => !left.some((above) => name.startsWith(`${above.name}/`)));
}

/** Kills what still runs of a test file, by the session that `leader` opened or by the marker, and says what that was. */
export function killProcessesOf(leader: number, path: string): string[] {
  const alive = processList().filter(({ pid, session }) => session === leader || hasMarker(pid, testMarker(path)));
  for (const { pid } of alive) kill(pid);
  return alive.map(({ pid, command }) => `${pid} ${command}`);
}

function everything(): { kind: string; name: string }[] {
  const cgroups = foldersBelow('/sys/fs/cgroup', 5);
  return [
    ...foldersBelow('/sys/fs/bpf', 6, true).map((name) => ({ kind: 'pin', name })),
    ...cgroups.filter((name) => name.includes('/postern-test')).map((name) => ({ kind: 'cgroup', name })),
    ...entries('/run/netns')
      .filter(({ name }) => name.startsWith('pt-'))
      .map(({ name }) => ({ kind: 'network namespace', name })),
  ];
}

function foldersBelow(folder: string, depth: number, withFiles = false): string[] {
  if (depth === 0) return [];
  return entries(folder).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return [path, ...foldersBelow(path, depth - 1, withFiles)];
    return withFiles ? [path] : [];
  });
}

function entries(folder: string) {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return []; // gone, not mounted, or not ours to read
  }
}

interface ProcessEntry {
  readonly pid: number;
  readonly session: number;
  readonly command: string;
}

/** Running processes; zombies are their parent's affair. */
function processList(): ProcessEntry[] {
  return entries('/proc').flatMap(({ name }): ProcessEntry[] => {
    if (!/^\d+$/.test(name)) return [];
    const stat = read(`/proc/${name}/stat`);
    const [state, , , session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (state === undefined || state === '' || state === 'Z' || state === 'X') return [];
    return [
      {
        pid: Number(name),
        session: Number(session),
        command: read(`/proc/${name}/cmdline`).replaceAll('\0', ' ').trim(),
      },
    ];
  });
}

function hasMarker(pid: number, marker: string): boolean {
  return `\0${read(`/proc/${pid}/environ`)}`.includes(`\0POSTERN_TEST_RUN=${marker}\0`);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {} // it ended by itself
}

function key({ kind, name }: { kind: string; name: string }): string {
  return `${kind} ${name}`;
}
