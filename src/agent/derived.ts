import { CloudTags } from './cloud-tags.ts';
import type { Containers } from './containers.ts';
import { derivedAtExec } from './derived-at-exec.ts';
import { DerivedIdentities } from './derived-identity.ts';
import { DerivedLabels } from './derived-labels.ts';
import { DerivedValues } from './derived-values.ts';
import type { DesiredState } from './desired-state.ts';
import type { Labels } from './labels.ts';
import type { AgentOptions } from './options.ts';
import type { Packages } from './packages.ts';
import type { ProcessTable } from './process-table.ts';
import type { UserNames } from './user-names.ts';

export interface Derived {
  readonly labels: DerivedLabels;
  readonly values: DerivedValues;
  /** The desired state with the identities that `labelsFrom` makes here. */
  into(state: DesiredState): DesiredState;
  /** Resolves when all is on disk. */
  stop(): Promise<void>;
}

/** What this host knows besides registrations, wired: labels of host and processes, and identities by them. */
export function startDerived(
  options: AgentOptions,
  sources: {
    readonly users: UserNames;
    readonly labels: Labels;
    /** Made later. */
    readonly later: () => { containers: Containers; packages: Packages; processes: ProcessTable };
    /** Identities may be others than before. */
    readonly onChange: () => void;
    /** Processes have other names now. */
    readonly onRelabel: () => void;
  },
): Derived {
  const { users, labels, later, onChange, onRelabel } = sources;
  const cloud = new CloudTags(options.cloudTags, options.stateDir, onChange);
  const derived = new DerivedLabels({
    hostLabels: options.hostLabels,
    tags: () => cloud.tags,
    containerOf: (cgroup) => later().containers.of(cgroup),
    packageOf: (path) => later().packages.of(path),
  });
  const values = new DerivedValues({
    stateDir: options.stateDir,
    derivedOf: (member, labelsFrom) => derivedAtExec(member, labelsFrom, { users, derived, ...later() }),
    containerCgroup: (cgroup) => later().containers.of(cgroup)?.cgroup,
    onChange,
    onStale: () => {
      labels.relabel();
      onRelabel();
    },
    log: options.log,
  });
  labels.derivedOf = ({ pid, startTicks }) => values.of(pid, startTicks);
  const identities = new DerivedIdentities({
    ofHost: () => derived.ofHost(),
    setsOf: (workload) => values.setsOf(workload),
    version: () => values.version,
  });
  return {
    labels: derived,
    values,
    into: (state) => identities.into(state),
    stop: () => {
      cloud.stop();
      return values.flush();
    },
  };
}
