import type { DerivedLabels } from './derived-labels.ts';
import type { LabelledProcess } from './endpoint.ts';
import type { Packages } from './packages.ts';
import type { ProcessTable } from './process-table.ts';
import type { UserNames } from './user-names.ts';

export interface DerivedAtExec {
  readonly labels: readonly string[];
  readonly uid: number;
}

/** What `labelsFrom` may take of a process: its user is the one at the exec. Undefined = its package is not known yet. */
export function derivedAtExec(
  { process }: LabelledProcess,
  labelsFrom: readonly string[],
  sources: {
    readonly users: UserNames;
    readonly processes: ProcessTable;
    readonly packages: Packages;
    readonly derived: DerivedLabels;
  },
): DerivedAtExec | undefined {
  const { users, processes, packages, derived } = sources;
  const exe = process.isHostPath ? process.exe : undefined;
  if (exe !== undefined && labelsFrom.includes('process:package') && !packages.knows(exe)) return undefined;
  const user = processes.get(process.pid)?.user ?? process.user;
  const uid = users.uidOf(user) ?? (/^\d+$/.test(user) ? Number(user) : process.uid);
  return { labels: derived.of({ exe, user, cgroup: process.cgroup }), uid };
}
