/**
 * Commands that run in this process instead of calling REST: they need the server or the agent, which the command line
 * must not import. src/main.ts passes them in.
 */

import { LISTEN_RULE, parseListen } from '../api/listen.ts';
import { DENIALS, type Denial } from '../core/denial.ts';
import { editGateways, type Gateways } from '../core/gateways.ts';
import { MODES, type Mode } from '../core/mode.ts';
import type { Engine } from '../core/policy-case-run.ts';
import { toPairs } from './command/workload-flags.ts';
import type { Call, Flag } from './command.ts';
import { Failure } from './failure.ts';

export type LocalName = 'server' | 'agent' | 'standalone' | 'agent detach';
export type LocalCommand = (settings: Settings) => Promise<number>;
export type Local = Partial<Record<LocalName, LocalCommand>> & {
  /** Loads the programs below private pins, to judge by the kernel's own tables. */
  readonly policyEngine?: () => Promise<{ readonly engine: Engine; close(): void }>;
};

/** Flag, else variable, else default: already decided. */
export interface Settings {
  /** "host:port" */
  readonly listen: string;
  readonly stateDir: string;
  readonly runDir: string;
  readonly pinDir: string;
  /** Absent = detect. */
  readonly cgroupRoot?: string;
  /** Absent = the machine's host name. */
  readonly hostName?: string;
  readonly hostLabels: Readonly<Record<string, string>>;
  readonly workloadsDir: string;
  readonly gateways: Gateways;
  readonly containerSockets: readonly string[];
  readonly cloudTags: string;
  readonly enablePolicy: 'default' | 'always' | 'never';
  readonly pending: 'allow' | 'deny';
  readonly mode: Mode;
  readonly deny: Denial;
  readonly reservePorts: 'on' | 'off';
  /** Absent = the embedded PostgreSQL. */
  readonly databaseUrl?: string;
  readonly flowRetention: { readonly maxAgeMs: number; readonly maxBytes: number };
  readonly requireIfMatch: boolean;
  /** What the agent connects to; absent = the server's socket in runDir. */
  readonly server?: string;
}

const LISTEN: Flag = {
  name: 'listen',
  value: 'HOST:PORT',
  summary: 'where REST listens (loopback only)',
  env: 'POSTERN_LISTEN',
  default: '127.0.0.1:7460',
};
const STATE_DIR: Flag = {
  name: 'state-dir',
  value: 'DIR',
  summary: 'state that outlives a reboot',
  env: 'POSTERN_STATE_DIR',
  default: '/var/lib/postern',
  complete: 'file',
};
const PIN_DIR: Flag = {
  name: 'pin-dir',
  value: 'DIR',
  summary: 'where links and maps are pinned, on bpffs',
  env: 'POSTERN_PIN_DIR',
  default: '/sys/fs/bpf/postern',
  complete: 'file',
};
const CGROUP_ROOT: Flag = {
  name: 'cgroup-root',
  value: 'DIR',
  summary: 'where programs attach and endpoints are looked for (default: the cgroup2 root)',
  env: 'POSTERN_CGROUP_ROOT',
  complete: 'file',
};
const HOST_NAME: Flag = {
  name: 'host-name',
  value: 'NAME',
  summary: "this host's name (default: the machine's)",
  env: 'POSTERN_HOST_NAME',
};
const HOST_LABELS: Flag = {
  name: 'host-labels',
  value: 'KEY=VALUE,...',
  summary: 'labels of this host, which hosts of a workload selects by',
  env: 'POSTERN_HOST_LABELS',
};
const GATEWAYS: Flag = {
  name: 'gateways',
  value: 'PATH,...',
  summary: 'programs that start others: /x adds one, jobs:/x one whose children are not its unit, -/x takes one away',
  env: 'POSTERN_GATEWAYS',
};
const ENABLE_POLICY: Flag = {
  name: 'enable-policy',
  value: 'WHEN',
  choices: ['default', 'always', 'never'],
  summary: 'default: whom a policy selects; always: every workload is in default deny; never: no policy is in force',
  env: 'POSTERN_ENABLE_POLICY',
  default: 'default',
};
const MODE: Flag = {
  name: 'mode',
  value: 'MODE',
  choices: MODES,
  summary:
    'what policy does on this host at most; audit: forward what it would drop, and say so; observe: judge nothing',
  env: 'POSTERN_MODE',
  default: 'enforce',
};
const DENY: Flag = {
  name: 'deny',
  value: 'HOW',
  choices: DENIALS,
  summary:
    'how a denial feels to the program, unless the policy says: EPERM at once, ECONNREFUSED at once, or lost packets',
  env: 'POSTERN_DENY',
  default: 'eperm',
};
const PENDING: Flag = {
  name: 'pending',
  value: 'WHAT',
  choices: ['allow', 'deny'],
  summary: 'what a process may do until user space has decided who it is; deny: what policy grants reserved:init',
  env: 'POSTERN_PENDING',
  default: 'allow',
};
const RESERVE_PORTS: Flag = {
  name: 'reserve-ports',
  value: 'on|off',
  choices: ['on', 'off'],
  summary: 'keep ports that registrations own out of the ephemeral range (net.ipv4.ip_local_reserved_ports)',
  env: 'POSTERN_RESERVE_PORTS',
  default: 'on',
};
const CONTAINER_SOCKETS: Flag = {
  name: 'container-sockets',
  value: 'PATH,...',
  summary: 'where Docker and Podman answer',
  env: 'POSTERN_CONTAINER_SOCKETS',
  default: '/run/docker.sock,/run/podman/podman.sock',
};
const WORKLOADS_DIR: Flag = {
  name: 'workloads-dir',
  value: 'DIR',
  summary: 'files with registrations for this host alone, in the language of postern apply',
  env: 'POSTERN_WORKLOADS_DIR',
  default: '/etc/postern/workloads.d',
  complete: 'file',
};
const CLOUD_TAGS: Flag = {
  name: 'cloud-tags',
  value: 'SOURCE',
  summary:
    'tags of the cloud instance: a JSON file, a URL that gives one, or a metadata service: aws, azure, gcp[:KEY,...]',
  env: 'POSTERN_CLOUD_TAGS',
  default: '/etc/postern/cloud-tags.json',
};
const DATABASE_URL: Flag = {
  name: 'database-url',
  value: 'URL',
  summary: 'PostgreSQL >= 14 (default: an embedded one in the state directory)',
  env: 'DATABASE_URL',
};

const FLOW_DAYS: Flag = {
  name: 'flow-days',
  value: 'DAYS',
  summary: 'how long flows are kept',
  env: 'POSTERN_FLOW_DAYS',
  default: '7',
};
const FLOW_MB: Flag = {
  name: 'flow-mb',
  value: 'MB',
  summary: 'how much of the disk flows may take; the oldest day goes first',
  env: 'POSTERN_FLOW_MB',
  default: '1024',
};

const REQUIRE_IF_MATCH: Flag = {
  name: 'require-if-match',
  value: 'on|off',
  choices: ['on', 'off'],
  summary: 'refuse to change or delete what exists without If-Match and its ETag (428): nobody overwrites unseen',
  env: 'POSTERN_REQUIRE_IF_MATCH',
  default: 'off',
};

export const SERVER_FLAGS: readonly Flag[] = [LISTEN, STATE_DIR, DATABASE_URL, FLOW_DAYS, FLOW_MB, REQUIRE_IF_MATCH];
export const AGENT_FLAGS: readonly Flag[] = [
  STATE_DIR,
  PIN_DIR,
  CGROUP_ROOT,
  HOST_NAME,
  HOST_LABELS,
  WORKLOADS_DIR,
  GATEWAYS,
  CONTAINER_SOCKETS,
  CLOUD_TAGS,
  ENABLE_POLICY,
  MODE,
  DENY,
  PENDING,
  RESERVE_PORTS,
];
export const STANDALONE_FLAGS: readonly Flag[] = [
  LISTEN,
  DATABASE_URL,
  FLOW_DAYS,
  FLOW_MB,
  REQUIRE_IF_MATCH,
  ...AGENT_FLAGS,
];

export function runLocal(name: LocalName, call: Call): Promise<number> {
  const command = call.local[name];
  if (!command) throw new Failure(2, `"postern ${name}" is not part of this build`);
  return command(toSettings(call));
}

function toSettings(call: Call): Settings {
  const known = new Set(call.command.flags.map((flag) => flag.name));
  const read = (name: string, fallback: string) => (known.has(name) ? call.text(name) : undefined) ?? fallback;
  const maybe = (name: string) => (known.has(name) ? call.text(name) : undefined);
  return {
    listen: listenOn(read('listen', LISTEN.default!)),
    stateDir: read('state-dir', STATE_DIR.default!),
    runDir: call.text('run-dir')!,
    pinDir: read('pin-dir', PIN_DIR.default!),
    cgroupRoot: maybe('cgroup-root'),
    hostName: maybe('host-name'),
    hostLabels: toPairs((maybe('host-labels') ?? '').split(',').filter(Boolean), '--host-labels'),
    gateways: toGateways((maybe('gateways') ?? '').split(',').filter(Boolean)),
    enablePolicy: read('enable-policy', 'default') as Settings['enablePolicy'],
    pending: read('pending', 'allow') as Settings['pending'],
    mode: read('mode', 'enforce') as Mode,
    deny: read('deny', 'eperm') as Denial,
    reservePorts: read('reserve-ports', 'on') as Settings['reservePorts'],
    containerSockets: read('container-sockets', CONTAINER_SOCKETS.default!).split(',').filter(Boolean),
    workloadsDir: read('workloads-dir', WORKLOADS_DIR.default!),
    cloudTags: read('cloud-tags', CLOUD_TAGS.default!),
    databaseUrl: postgresUrl(maybe('database-url')),
    flowRetention: {
      maxAgeMs: positive('flow-days', read('flow-days', FLOW_DAYS.default!)) * 86_400_000,
      maxBytes: positive('flow-mb', read('flow-mb', FLOW_MB.default!)) * 1024 * 1024,
    },
    requireIfMatch: read('require-if-match', 'off') === 'on',
    server: call.text('server'),
  };
}

/** The text may hold a password: it is not repeated. */
function postgresUrl(text: string | undefined): string | undefined {
  const scheme = /^(\w+):/.exec(text ?? '')?.[1];
  if (scheme !== undefined && !['postgres', 'postgresql', 'socket'].includes(scheme))
    throw new Failure(2, `--database-url "${scheme}:..." must be postgres://USER:PASSWORD@HOST:PORT/NAME`);
  return text;
}

function listenOn(text: string): string {
  if (parseListen(text) === undefined) throw new Failure(2, `--listen "${text}" ${LISTEN_RULE}`);
  return text;
}

function toGateways(words: readonly string[]): Gateways {
  const { gateways, bad } = editGateways(words);
  if (bad.length > 0)
    throw new Failure(2, `--gateways "${bad[0]}": expected an absolute path, alone or after "jobs:" or "-"`, [
      'the list as it is: postern agent gateways',
    ]);
  return gateways;
}

function positive(flag: string, text: string): number {
  if (!/^\d{1,7}$/.test(text) || Number(text) === 0)
    throw new Failure(2, `--${flag} must be a whole number above 0, not "${text}"`);
  return Number(text);
}
