/**
 * The twenty-five legacy workloads as a table: what is registered, processes that look like it, and who they must be.
 * `/…` of an executable or script is below the test's folder, a cgroup below its cgroup. What is out of reach, and why,
 * stands in docs/legacy-workloads.md; here is what is promised all the same.
 */
export interface Row {
  readonly number: number;
  readonly title: string;
  /** `name: match`, in namespace `rows`. */
  readonly workloads: Readonly<Record<string, unknown>>;
  /** `name: addresses` of who has no agent: at the far end of a veth pair. */
  readonly peers?: Readonly<Record<string, readonly string[]>>;
  readonly processes: readonly Looks[];
  /** Tests that prove more of it, or what needs another world. */
  readonly also?: readonly string[];
}

export interface Looks {
  readonly what: string;
  readonly exe: string;
  /** argv after argv[0]; for a `#!` script or an interpreter what it is told to run. */
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  readonly uid?: number;
  readonly cgroup: string;
  /** Words of stand-in.c; `connect` gets an address, `listen` a port of its own. */
  readonly does: string;
  /** Runs at the near end of the pair, and `connect` goes to this address there: which peer it is. */
  readonly reaches?: readonly [address: string, peer: string | null];
  /** Who connects. Absent = nobody that is registered. */
  readonly connects?: string | null;
  /** Whose the listener is, and what it accepts. */
  readonly listens?: string | null;
  /** Decided by user space, soon after its start: the first connections may find it pending. */
  readonly isLate?: boolean;
  /** Whom its endpoint names, for one without a TCP socket; with its state. */
  readonly endpoint?: string;
  readonly state?: string;
}
