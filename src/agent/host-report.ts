import { release, uptime } from 'node:os';
import { features } from 'libbpf-ts';
import type { Drift } from '../api/drift.ts';
import type { Endpoint } from '../api/endpoint.ts';
import type { HostReport } from '../api/host.ts';
import type { WorkloadFile } from '../api/host-workload.ts';
import type { Container } from '../core/match-place.ts';
import type { RegisteredWorkload } from '../core/match-program.ts';
import { readCounters } from '../datapath/counters.ts';
import { SOCKET_PROGRAMS, TRACING_PROGRAMS } from '../datapath/hooks.ts';
import { IdentityWords } from '../datapath/identity-words.ts';
import type { Kernel } from '../datapath/kernel.ts';
import type { DerivedLabels } from './derived-labels.ts';
import type { DerivedValues } from './derived-values.ts';
import { discover } from './discover.ts';
import type { DriftWatch } from './drift-watch.ts';
import { toEndpoints } from './endpoint.ts';
import type { Enforcement } from './enforcement.ts';
import { reservedOrWire } from './identity-labels.ts';
import type { Labels } from './labels.ts';
import { ephemeralPorts } from './listening.ts';
import { hostScan } from './look-slowly.ts';
import type { NetworkNamespaces } from './network-namespaces.ts';
import type { AgentOptions } from './options.ts';
import type { RecentCounts } from './recent-counts.ts';
import { runCalmly, type Steps } from './steps.ts';
import type { Surroundings } from './surroundings.ts';
import type { Talkers } from './talkers.ts';
import type { UserNames } from './user-names.ts';

/** A report counts map entries at most this often. */
const COUNT_MS = 10_000;
/** Maps that what runs on the host fills, and what is then the case; those that policy fills refuse the revision. */
const WHEN_FULL: Readonly<Record<string, string>> = {
  proc: 'a new process is known by its cgroup alone',
  cgroup_label: 'a new cgroup has no name, nor what runs in it',
  local: 'a new listener counts as the host until it is asked',
  own_addr: 'a new address of this host counts as outside',
};
/** About a millisecond's worth of entries. */
const COUNT_CHUNK = 512;
/** Maps whose fill level a person wants to see. */
const SHOWN_MAPS = [
  'ident_cfg',
  'policy_l3',
  'policy_l4',
  'ip_host',
  'ip_cidr',
  'own_addr',
  'local',
  'proc',
  'cgroup_label',
  'exe_match',
  'arg_match',
  'arg_prefix',
  'cgroup_match',
  'listen_match',
  'conversation',
  'connection',
] as const;

const ALL_PROGRAMS: readonly string[] = [...TRACING_PROGRAMS, ...SOCKET_PROGRAMS];
const BOOTED_AT = new Date(Date.now() - uptime() * 1000).toISOString();

export interface ReportSources {
  readonly options: AgentOptions;
  readonly kernel: Kernel;
  readonly labels: Labels;
  readonly enforcement: Enforcement;
  readonly netns: NetworkNamespaces;
  readonly users: UserNames;
  /** Files that register workloads. */
  readonly files: () => WorkloadFile[];
  readonly drift: DriftWatch;
  readonly derived: DerivedLabels;
  readonly values: DerivedValues;
  readonly containerOf: (cgroup: string) => Container | undefined;
  readonly talkers: Talkers;
  readonly recent: RecentCounts;
  readonly surroundings: Surroundings;
  /** What does not work, in words. */
  readonly degraded: () => readonly string[];
}

/** What this host is and does, looked at now. */
export class HostReports {
  readonly #sources: ReportSources;
  readonly #features: Record<string, unknown> = { ...features() };
  #os: string | undefined;
  #counted: { readonly at: number; readonly maps: HostReport['maps'] } | undefined;

  constructor(sources: ReportSources) {
    this.#sources = sources;
    void osName().then((name) => {
      this.#os = name;
    });
  }

  async report(): Promise<HostReport> {
    const { options, kernel, enforcement, netns } = this.#sources;
    const looked = await runCalmly(this.#look());
    const maps = await runCalmly(this.#mapsOfLate());
    const degraded = [...this.#sources.degraded(), ...fullMaps(maps)];
    return {
      state: degraded.length > 0 ? 'degraded' : enforcement.applied.uid === '' ? 'new' : 'ready',
      appliedRevision: enforcement.applied.revision,
      degraded,
      agentVersion: options.version,
      kernel: release(),
      mode: options.mode ?? 'enforce',
      settings: {
        enablePolicy: options.enablePolicy ?? 'default',
        pending: options.pending ?? 'allow',
        deny: options.deny ?? 'eperm',
      },
      ...(this.#os === undefined ? {} : { os: this.#os }),
      features: this.#features,
      addresses: netns.hostAddresses(),
      labels: { ...options.hostLabels },
      derived: [...this.#sources.derived.ofHost()],
      values: this.#sources.values.report(enforcement.applied.workloads),
      maps,
      counters: readCounters(kernel.maps),
      files: this.#sources.files(),
      ...this.#around(looked.discover),
      endpoints: looked.endpoints,
      discover: looked.discover,
      drifts: looked.drifts,
      waiting: this.#sources.labels.program.waiting.map((one) => ({ ...one })),
    };
  }

  #around(found: HostReport['discover']): Partial<HostReport> {
    const { kernel, labels, recent, surroundings } = this.#sources;
    const attached = kernel.attached();
    const missing = ALL_PROGRAMS.filter((name) => !attached.includes(name));
    const talkers = found.filter(({ kind }) => kind === 'talker').length;
    return {
      bootedAt: BOOTED_AT,
      unregistered: { listeners: found.length - talkers, talkers },
      provisional: labels.provisional,
      recent: recent.read(),
      failsafe: [...surroundings.seen.failsafe],
      blind: [...surroundings.seen.blind],
      hooks: { attached: ALL_PROGRAMS.length - missing.length, of: ALL_PROGRAMS.length, missing },
    };
  }

  maps(): Promise<HostReport['maps']> {
    return runCalmly(this.#countMaps());
  }

  /** Counting walks the maps, which takes tens of milliseconds at size. */
  *#countMaps(): Steps<HostReport['maps']> {
    const { maps } = this.#sources.kernel;
    const counted: HostReport['maps'] = [];
    for (const name of SHOWN_MAPS) {
      const { type, maxEntries } = maps[name];
      const entries =
        name === 'ident_cfg' ? new IdentityWords(maps).size : yield* maps[name].counting({ chunk: COUNT_CHUNK });
      counted.push({ name, type, entries, maxEntries });
    }
    return counted;
  }

  /** A report says what was counted some seconds ago. */
  *#mapsOfLate(): Steps<HostReport['maps']> {
    if (this.#counted === undefined || performance.now() - this.#counted.at > COUNT_MS)
      this.#counted = { at: performance.now(), maps: yield* this.#countMaps() };
    return this.#counted.maps;
  }

  *#look(): Steps<{ endpoints: Endpoint[]; discover: HostReport['discover']; drifts: Drift[] }> {
    const { options, labels, enforcement, users, drift, derived, values, containerOf } = this.#sources;
    const state = enforcement.applied;
    const { processes, sockets } = yield* hostScan(users);
    const named = yield* labels.labelled();
    values.observe(named, state, labels.program);
    const labelled = named.map((one) => (values.isWaiting(one) ? { ...one, isProvisional: true } : one));
    const claimed = new Set(labelled.map(({ process: { pid } }) => pid));
    const endpoints = toEndpoints(labelled, {
      host: options.hostName,
      program: labels.program,
      workloads: state.workloads as ReadonlyMap<string, RegisteredWorkload>,
      sockets,
      labelsOf: (identity) => reservedOrWire(state, identity),
      derivedOf: ({ exe, isHostPath, user, cgroup }) => derived.of({ exe: isHostPath ? exe : undefined, user, cgroup }),
      policyOf: (identity) => {
        const { mode, ingress, egress } = enforcement.inEffect(identity);
        return { mode, policy: { ingress, egress, revision: state.revision } };
      },
    });
    yield;
    const found = discover({
      processes,
      sockets,
      isClaimed: (pid) => claimed.has(pid) || pid === process.pid,
      ephemeralPorts: ephemeralPorts(),
      containerOf,
      host: options.hostName,
      taken: new Set(state.workloads.keys()),
      baseUrl: options.baseUrl,
      talkers: this.#sources.talkers.list(),
      talksTo: (process) => this.#sources.talkers.talksTo(process),
    });
    yield;
    const drifts = drift.find({
      ...{ host: options.hostName, program: labels.program },
      workloads: state.workloads as ReadonlyMap<string, RegisteredWorkload>,
      ...{ processes, sockets, labelled, endpoints },
    });
    yield;
    return { endpoints, discover: found, drifts };
  }
}

/** Read once, in the background: the package looks at many files. */
async function osName(): Promise<string | undefined> {
  const { osInfo } = await import('systeminformation');
  const { distro, release: version, codename } = await osInfo();
  return distro === '' ? undefined : [distro, version, codename && `(${codename})`].filter(Boolean).join(' ');
}

function fullMaps(maps: HostReport['maps']): string[] {
  return maps
    .filter(({ name, entries, maxEntries }) => WHEN_FULL[name] !== undefined && entries >= maxEntries)
    .map(({ name, maxEntries }) => `map ${name} is full (${maxEntries}): ${WHEN_FULL[name]}`);
}
