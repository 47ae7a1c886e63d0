import type { Denial } from '../core/denial.ts';
import type { Gateways } from '../core/gateways.ts';
import type { Mode } from '../core/mode.ts';

/** Where an agent's world is. Several agents run beside each other when none of these is shared. */
export interface AgentOptions {
  /** The control plane: `unix:/run/postern/server.sock` or `http://host:port`. */
  readonly server: string;
  readonly stateDir: string;
  readonly runDir: string;
  readonly pinDir: string;
  /** Socket hooks attach here, and processes below it are named. */
  readonly cgroupRoot: string;
  /** Mount point of cgroup2. */
  readonly cgroupMount: string;
  readonly hostName: string;
  /** What `hosts` of a workload selects by. */
  readonly hostLabels: Readonly<Record<string, string>>;
  /** Who starts programs on somebody's behalf; DEFAULT_GATEWAYS with the operator's changes. */
  readonly gateways: Gateways;
  /** Where Docker and Podman answer; those that are not there are looked for again. */
  readonly containerSockets: readonly string[];
  /** Tags of the cloud instance: a file, a URL, or `aws`. */
  readonly cloudTags: string;
  /** Whom default deny meets: `default` whom a policy selects, `always` every workload, `never` nobody, and no rule is in force. */
  readonly enablePolicy?: 'default' | 'always' | 'never';
  /** Nobody on this host goes beyond it. Default `enforce`. */
  readonly mode?: Mode;
  /** How a denial feels of which no policy says it. Default `eperm`. */
  readonly deny?: Denial;
  /** What a process may do of which only user space can tell who it is, until it has. Default `allow`. */
  readonly pending?: 'allow' | 'deny';
  /** Whether ports that registrations own are kept out of the ephemeral range. Default `on`. */
  readonly reservePorts?: 'on' | 'off';
  /** Folder with registrations of this host alone; need not exist. */
  readonly workloadsDir: string;
  /** The compiled BPF object. */
  readonly object: string;
  readonly version: string;
  /** URL of the control plane as a person would type it, for the commands that discover prints. */
  readonly baseUrl: string;
  readonly log: (message: string) => void;
}
