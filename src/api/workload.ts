/** `/v1/workloads/{namespace}/{name}`: who is it? The meaning of `match` is core/workload.ts. */
import * as v from 'valibot';
import { OPEN_NAMES } from '../core/opens.ts';
import { MODES } from '../core/workload-operation.ts';
import { object, oneOf } from './check.ts';
import { Drift } from './drift.ts';
import { Meta, SERVER_FIELDS } from './meta.ts';
import { Labels, NamedPorts } from './name.ts';

const Glob = v.pipe(v.string(), v.minLength(1, 'must not be empty'), v.maxLength(4096, 'must have at most 4096 bytes'));

export const MatchClause = v.pipe(
  object(
    {
      systemdUnit: v.optional(Glob),
      /** `USER/UNIT`, of the user's own manager. */
      systemdUserUnit: v.optional(Glob),
      /** As Docker or Podman call it. */
      container: v.optional(
        v.pipe(
          object({
            name: v.optional(Glob),
            image: v.optional(Glob),
            labels: v.optional(v.record(v.string(), v.string())),
          }),
          v.check(hasField, 'must have at least one of name, image, labels'),
        ),
      ),
      cgroup: v.optional(Glob),
      process: v.optional(
        v.pipe(
          object(
            {
              exe: v.optional(Glob),
              /** The `#!` file, or the first path argument of a known interpreter. */
              script: v.optional(Glob),
              user: v.optional(v.pipe(v.string(), v.minLength(1, 'must not be empty'))),
              args: v.optional(v.pipe(v.array(v.string()), v.minLength(1, 'must not be empty'))),
              /** `NAME=value`, whole or with `*` at the end. */
              env: v.optional(v.pipe(v.array(v.string()), v.minLength(1, 'must not be empty'))),
              argsRegex: v.optional(v.pipe(v.string(), v.minLength(1, 'must not be empty'))),
            },
            [],
          ),
          v.check(hasField, 'must have at least one of exe, script, user, args, env, argsRegex'),
        ),
      ),
      listen: v.optional(v.pipe(v.array(v.string()), v.minLength(1, 'must not be empty'))),
    },
    [],
  ),
  v.check(
    hasField,
    'must have at least one of systemdUnit, systemdUserUnit, cgroup, container, process, listen: {} would match everything',
  ),
);

const MatchList = v.pipe(v.array(MatchClause), v.maxLength(64, 'must have at most 64 clauses'));

/** One clause or a list; always a list in the answer, empty beside `addresses`. Fields of a clause are AND, the list is OR. */
export const Match = v.pipe(
  v.lazy((input) => (Array.isArray(input) || input === undefined ? MatchList : MatchClause)),
  v.transform((match): v.InferOutput<typeof MatchClause>[] => (Array.isArray(match) ? match : [match])),
);

const HostSelector = object({
  matchLabels: v.optional(v.record(v.string(), v.string())),
  matchExpressions: v.optional(
    v.array(
      object({
        key: v.string(),
        operator: oneOf(['In', 'NotIn', 'Exists', 'DoesNotExist']),
        values: v.optional(v.array(v.string())),
      }),
    ),
  ),
});

const Spec = {
  labels: Labels,
  match: v.optional(Match, []),
  /** Instead of `match`: a peer without an agent, by its addresses and prefixes. */
  addresses: v.optional(v.pipe(v.array(v.string()), v.minLength(1, 'must not be empty'))),
  /** Which hosts it is for, by their labels; absent = all. */
  hosts: v.optional(HostSelector),
  ports: v.optional(NamedPorts),
  description: v.optional(v.pipe(v.string(), v.maxLength(1024, 'must have at most 1024 characters'))),
  /** -1000 to 1000; before all but spoofability where several workloads match. */
  priority: v.optional(v.pipe(v.number(), v.integer('must be an integer'))),
  /** `none` = the label ends at the process that matches: its children have it only by an own match. */
  inherit: v.optional(oneOf(['subtree', 'none'])),
  mode: v.optional(oneOf(MODES)),
  /** How many endpoints each host should have; another number is shown in `status.unexpected`. */
  expect: v.optional(object({ perHost: v.pipe(v.number(), v.integer('must be an integer'), v.minValue(0)) })),
  /** Users who may start something under this name, besides root. */
  runBy: v.optional(v.pipe(v.array(v.string()), v.minLength(1, 'must not be empty'))),
  /**
   * Labels that a host adds to the identity: `host:KEY`, `cloud:tag/KEY`; and what its processes have, one identity for each
   * set of values: `systemd:unit|slice`, `process:exe|user|package`, `container:name|image|LABEL`.
   */
  labelsFrom: v.optional(v.pipe(v.array(v.string()), v.minLength(1, 'must not be empty'))),
  /** Besides TCP and UDP sockets: `icmp mptcp udplite tun packet`, `{"raw":["vrrp",112]}`. */
  opens: v.optional(
    v.pipe(
      v.array(v.union([oneOf(OPEN_NAMES), object({ raw: v.array(v.union([v.string(), v.number()])) })])),
      v.minLength(1, 'must not be empty'),
    ),
  ),
};

/** What the user owns. */
export const WorkloadSpec = object(Spec);
export type WorkloadSpec = v.InferOutput<typeof WorkloadSpec>;

/** The body of PUT. `namespace` and `name` may be there, and must then agree with the path. */
export const WorkloadBody = object({
  namespace: v.optional(v.string()),
  name: v.optional(v.string()),
  ...Spec,
  ...SERVER_FIELDS,
});

export const Overlap = object({
  workload: v.string(),
  winner: v.string(),
  /** Field of the order that decides; `created` = only the age does: a conflict. */
  by: v.string(),
});
export type Overlap = v.InferOutput<typeof Overlap>;

export const WorkloadStatus = object({
  identity: v.number(),
  /** `late` = some clause is decided in user space, after the first packet. */
  grade: oneOf(['firstPacket', 'late']),
  /** Who could claim this identity without being meant, in words; null = nobody. */
  spoofable: v.nullable(v.string()),
  endpoints: v.number(),
  hosts: v.number(),
  conflicts: v.array(v.string()),
  /** Clauses that cannot match on some host yet, and why; ten at most. */
  waiting: v.optional(v.array(object({ host: v.string(), clause: v.number(), reason: v.string() }))),
  /** How many run outside of the unit or cgroup that it is registered with. */
  drifted: v.number(),
  /** Ten of them at most, each with the clause that names it or would. */
  drifts: v.optional(v.array(Drift)),
  /** Hosts with another number of endpoints than `expect.perHost`. */
  unexpected: v.optional(v.array(object({ host: v.string(), endpoints: v.number() }))),
  /** Of `labelsFrom`: sets of values that its processes have, each an identity; and on which hosts there are more than fit. */
  values: v.optional(
    object({ sets: v.number(), tooMany: v.optional(v.array(object({ host: v.string(), left: v.number() }))) }),
  ),
  hint: v.optional(v.string()),
  /** What to know about what it `opens`. */
  warnings: v.optional(v.array(v.string())),
  /** `file`: registered by a file of one host, for that host alone; absent = by the control plane. */
  source: v.optional(oneOf(['file'])),
  host: v.optional(v.string()),
  file: v.optional(v.string()),
  /** Other workloads that could match the same process, and which of the two wins by what. */
  overlaps: v.optional(v.array(Overlap)),
});
export type WorkloadStatus = v.InferOutput<typeof WorkloadStatus>;

export const Workload = object({
  namespace: v.string(),
  name: v.string(),
  ...Spec,
  meta: Meta,
  status: WorkloadStatus,
});
export type Workload = v.InferOutput<typeof Workload>;

function hasField(value: object): boolean {
  return Object.values(value).some((field) => field !== undefined);
}
