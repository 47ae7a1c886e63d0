/** `POST /v1/apply`: many documents, all or nothing. */
import * as v from 'valibot';
import { object, oneOf } from './check.ts';

export const OWN_API_VERSION = 'postern.dev/v1';

/** Kinds that a file may hold, by apiVersion. */
export const APPLY_KINDS = {
  'cilium.io/v2': ['CiliumNetworkPolicy', 'CiliumClusterwideNetworkPolicy', 'CiliumCIDRGroup'],
  'networking.k8s.io/v1': ['NetworkPolicy'],
  v1: ['Namespace', 'List'],
  [OWN_API_VERSION]: ['Workload', 'Namespace'],
} as const satisfies Record<string, readonly string[]>;

export const ApplyResult = object({
  kind: v.string(),
  namespace: v.optional(v.string()),
  name: v.string(),
  result: oneOf(['created', 'updated', 'unchanged', 'deleted']),
  warnings: v.optional(v.array(v.string())),
});
export type ApplyResult = v.InferOutput<typeof ApplyResult>;

const VERDICT = oneOf(['FORWARDED', 'DROPPED', 'AUDIT']);

/** One kind of connection that would be judged otherwise, on one side of it. */
export const VerdictChange = object({
  /** `namespace/name`; `host` = the processes of `hosts` that are no workload. */
  workload: v.string(),
  direction: oneOf(['ingress', 'egress']),
  /** A workload, a reserved name, a prefix; `*` = whoever is not named. */
  peer: v.string(),
  /** `6379/TCP`, `8000-8100/UDP`, `type 8/ICMP`, `everything but 53/UDP`. */
  ports: v.string(),
  before: VERDICT,
  after: VERDICT,
  /** What decides after, and before; absent = no rule. */
  rule: v.optional(v.string()),
  ruleBefore: v.optional(v.string()),
  /** Live instances of the workload, and their hosts. */
  endpoints: v.number(),
  hosts: v.array(v.string()),
});
export type VerdictChange = v.InferOutput<typeof VerdictChange>;

/** Entries of the kernel's policy tables; every host holds all of them, and those of its own host policy. */
export const EntryChange = object({
  added: v.number(),
  removed: v.number(),
  /** Stay, with another answer. */
  changed: v.number(),
});

export const MapCapacity = object({ entries: v.number(), of: v.number() });
export const PlanCapacity = object({ policyL3: MapCapacity, policyL4: MapCapacity, cidr: MapCapacity });

/** What a write would do, on `?dryRun=true`. */
export const Plan = object({
  changes: v.array(ApplyResult),
  /** Identities whose compiled policy would differ. */
  identities: v.number(),
  /** Live endpoints whose verdicts would change. */
  endpoints: v.array(object({ id: v.string(), workload: v.string(), host: v.string() })),
  /** At most 500; `verdictsTotal` says how many there are, beyond 20,000 at least. */
  verdicts: v.array(VerdictChange),
  verdictsTotal: v.number(),
  entries: EntryChange,
  /** After the write, on the host that needs most; `of` is what fits, half of each map. */
  capacity: PlanCapacity,
  hosts: v.array(object({ host: v.string(), endpoints: v.number(), entries: EntryChange, capacity: PlanCapacity })),
  /** Hosts where policy is another by their own settings: `verdicts` are as if it were in force everywhere. */
  notes: v.array(v.string()),
});
export type Plan = v.InferOutput<typeof Plan>;

export const ApplyAnswer = object({
  results: v.array(ApplyResult),
  revision: v.number(),
  plan: v.optional(Plan),
});
export type ApplyAnswer = v.InferOutput<typeof ApplyAnswer>;
