/** Stored objects as the API shows them: what the user wrote, what the server keeps, and how it is going. */
import type { Drift } from '../api/drift.ts';
import type { Endpoint } from '../api/endpoint.ts';
import type { Identity } from '../api/identity.ts';
import type { Namespace } from '../api/namespace.ts';
import type { Policy, PolicyStatus } from '../api/policy.ts';
import type { Workload, WorkloadStatus } from '../api/workload.ts';
import { asksProcesses, SETS_PER_HOST, SETS_PER_WORKLOAD } from '../core/derived-identity.ts';
import { selectsHost } from '../core/host-selector.ts';
import { NAMESPACE_NAME_LABEL } from '../core/label.ts';
import { claimOf } from '../core/match-claim.ts';
import { findOverlaps, type Registration } from '../core/match-overlap.ts';
import { opensWarnings } from '../core/opens.ts';
import { annotationsOf } from '../core/policy-annotations.ts';
import { effectWarnings } from './policy-effect.ts';
import { policyWarnings } from './policy-warnings.ts';
import type { Reports, Waiting } from './reports.ts';
import type { RuleHits } from './rule-hits.ts';
import { selectedHosts } from './selected-hosts.ts';
import {
  policyOf,
  type State,
  type StoredIdentity,
  type StoredNamespace,
  type StoredPolicy,
  type StoredWorkload,
} from './state.ts';
import { unusedWarnings } from './unused-rule.ts';
import { selectedIdentities } from './world.ts';

export function toWorkload({ namespace, name, spec, meta, identity }: StoredWorkload, reports: Reports): Workload {
  return {
    namespace,
    name,
    ...spec,
    meta,
    status: workloadStatus(`${namespace}/${name}`, spec, identity, reports),
  };
}

/** With what other registrations may match too: for one workload, since each is held against all. */
export function toWorkloadWithOverlaps(stored: StoredWorkload, state: State, reports: Reports): Workload {
  const workload = toWorkload(stored, reports);
  const overlaps = findOverlaps(toRegistration(stored), registrations(state));
  return { ...workload, status: { ...workload.status, overlaps } };
}

export function* registrations(state: State): Iterable<Registration> {
  for (const stored of state.workloads.values()) yield toRegistration(stored);
}

function toRegistration({ namespace, name, spec, createdRevision }: StoredWorkload): Registration {
  const { match, priority, hosts } = spec;
  return { ref: `${namespace}/${name}`, match, priority, hosts, createdRevision };
}

function workloadStatus(key: string, spec: StoredWorkload['spec'], identity: number, reports: Reports): WorkloadStatus {
  const { match } = spec;
  const { grade, spoofable } = claimOf(match);
  const endpoints = reports.endpointsOf(key);
  const conflicts = endpoints
    .filter((endpoint) => endpoint.state === 'conflict')
    .flatMap((endpoint) => endpoint.why?.beats?.map((beaten) => beaten.workload) ?? []);
  const drifts = reports.driftsOf(key);
  const waiting = reports.waitingOf(key).slice(0, DRIFTS_SHOWN);
  const nameless = drifts.filter(({ named }) => !named);
  const drifted = endpoints.filter((endpoint) => endpoint.state === 'drifted').length + nameless.length;
  const unexpected = unexpectedHosts(spec, endpoints, reports);
  const warnings = opensWarnings(spec.opens);
  const values = valuesOf(key, reports);
  const hint =
    match.length === 0
      ? undefined
      : (driftHint(drifts) ??
        valuesHint(values) ??
        waitingHint(waiting, endpoints.length) ??
        workloadHint(endpoints.length, drifted, spoofable, reports) ??
        countHint(spec, unexpected));
  return {
    identity,
    grade,
    spoofable,
    endpoints: endpoints.length,
    hosts: new Set(endpoints.map((endpoint) => endpoint.host)).size,
    conflicts: [...new Set(conflicts)].sort(),
    drifted,
    ...(waiting.length > 0 && { waiting: waiting.map(({ host, clause, reason }) => ({ host, clause, reason })) }),
    ...(drifts.length > 0 && { drifts: drifts.slice(0, DRIFTS_SHOWN) }),
    ...(spec.expect !== undefined && { unexpected }),
    ...(asksProcesses(spec.labelsFrom) && { values }),
    ...(warnings.length > 0 && { warnings }),
    ...(hint !== undefined && { hint }),
  };
}

/** What the hosts report of its processes. */
function valuesOf(key: string, reports: Reports): NonNullable<WorkloadStatus['values']> {
  const found = [...reports.all.values()].flatMap(({ name, report }) =>
    (report.values ?? []).flatMap((one) => (one.workload === key ? [{ ...one, host: name }] : [])),
  );
  const sets = new Set(found.flatMap((one) => one.sets.map((set) => set.join(' ')))).size;
  const tooMany = found.flatMap(({ host, left }) => (left > 0 ? [{ host, left }] : []));
  return { sets, ...(tooMany.length > 0 && { tooMany }) };
}

function valuesHint({ sets, tooMany = [] }: NonNullable<WorkloadStatus['values']>): string | undefined {
  const own = 'they have the identity of the registration; name fewer labels in labelsFrom';
  const [first] = tooMany;
  if (first !== undefined)
    return `too many values of labelsFrom on ${first.host}: ${first.left} sets beyond the ${SETS_PER_HOST} that fit; ${own}`;
  if (sets > SETS_PER_WORKLOAD)
    return `too many values of labelsFrom: ${sets} sets on all hosts, ${SETS_PER_WORKLOAD} fit; ${own}`;
  return undefined;
}

/** Of the hosts that the registration is for, those that have another number of it than expected. */
function unexpectedHosts(
  { expect, hosts }: StoredWorkload['spec'],
  endpoints: readonly Endpoint[],
  reports: Reports,
): { host: string; endpoints: number }[] {
  if (expect === undefined) return [];
  return [...reports.all.values()]
    .filter(({ report }) => selectsHost(hosts, report.labels ?? {}))
    .map(({ name }) => ({ host: name, endpoints: endpoints.filter(({ host }) => host === name).length }))
    .filter((found) => found.endpoints !== expect.perHost)
    .sort((a, b) => (a.host < b.host ? -1 : 1));
}

function countHint({ expect }: StoredWorkload['spec'], unexpected: readonly { host: string; endpoints: number }[]) {
  const [first] = unexpected;
  if (first === undefined) return undefined;
  const more = unexpected.length > 1 ? `, and ${unexpected.length - 1} hosts more` : '';
  return `${first.host} has ${first.endpoints}, expected ${expect!.perHost}${more}`;
}

/** Said while nothing runs: a clause that waits beside one that matches is no news. */
function waitingHint(waiting: readonly Waiting[], live: number): string | undefined {
  const [first] = waiting;
  if (first === undefined || live > 0) return undefined;
  return `match[${first.clause}] waits on ${first.host}: ${first.reason}`;
}

const DRIFTS_SHOWN = 10;

/** Who has no name is worse off than who has one by another clause. */
function driftHint(drifts: readonly Drift[]): string | undefined {
  const drift = drifts.find(({ named }) => !named) ?? drifts[0];
  if (drift === undefined) return undefined;
  const { host, process, cgroup, expected, named, clause } = drift;
  const where = `pid ${process.pid} on ${host} runs in ${cgroup.replace(/^\//, '')}, outside of ${expected.join(', ')}`;
  const more = drifts.length > 1 ? ` (and ${drifts.length - 1} more)` : '';
  if (named) return `${where}${more}: match ${JSON.stringify(clause)} names it there; restart it where it belongs`;
  return `${where}${more}, and has no name there: restart it where it belongs, or add ${JSON.stringify(clause)} to match`;
}

function workloadHint(live: number, drifted: number, spoofable: string | null, reports: Reports): string | undefined {
  if (drifted > 0) return `${drifted} of ${live} run outside of what match names`;
  if (spoofable !== null) return `${spoofable} could claim this identity: add systemdUnit, cgroup or process.user`;
  if (live === 0 && reports.all.size > 0)
    return 'nothing that runs matches: curl /v1/discover lists what does not match yet';
  return undefined;
}

export function toNamespace({ name, labels, meta }: StoredNamespace, state: State): Namespace {
  const inside = (objects: Iterable<{ readonly namespace?: string }>) =>
    [...objects].filter((object) => object.namespace === name).length;
  return {
    name,
    labels: namespaceLabels(name, labels),
    meta,
    status: { workloads: inside(state.workloads.values()), policies: inside(state.policies.values()) },
  };
}

export function namespaceLabels(name: string, labels: Readonly<Record<string, string>>): Record<string, string> {
  return { ...labels, [NAMESPACE_NAME_LABEL]: name };
}

/** What the status of a policy is made of besides the desired state. */
export interface Observation {
  readonly reports: Reports;
  readonly hits: RuleHits;
}

/** With the warnings that a compiler has to find: for one policy. */
export function toPolicyInFull(stored: StoredPolicy, state: State, observed: Observation): Policy {
  const policy = toPolicy(stored, state, observed);
  const warnings = [...policy.status.warnings, ...effectWarnings(stored, state)];
  return { ...policy, status: { ...policy.status, warnings } };
}

export function toPolicy(stored: StoredPolicy, state: State, observed: Observation): Policy {
  const { kind, namespace, name, document, meta } = stored;
  return {
    kind,
    ...(namespace !== undefined && { namespace }),
    name,
    document,
    meta,
    status: policyStatus(stored, state, observed),
  };
}

function policyStatus(stored: StoredPolicy, state: State, { reports, hits }: Observation): PolicyStatus {
  const policy = policyOf(stored);
  const selected = policy === undefined ? [] : selectedIdentities(policy, state);
  const endpoints = selected.flatMap(({ id }) => reports.endpointsWith(id));
  const hosts = new Set([...endpoints.map(({ host }) => host), ...selectedHosts(policy, reports)]);
  const rules = hits.of(stored);
  const applied = [...reports.all.values()].filter(({ report }) => report.appliedRevision >= stored.meta.revision);
  return {
    mode: policy?.mode ?? 'enforce',
    valid: policy !== undefined,
    selects: { endpoints: endpoints.length, hosts: hosts.size },
    enforced: { revision: stored.meta.revision, hosts: applied.length, of: reports.all.size },
    rules,
    ...shownAnnotations(stored),
    warnings: [...policyWarnings(stored, policy, selected.length, hosts.size, state), ...unusedWarnings(stored, rules)],
  };
}

/** The mode has a field of its own. */
function shownAnnotations({ document }: StoredPolicy): Pick<PolicyStatus, 'deny' | 'owner' | 'expires'> {
  const { mode: _mode, ...shown } = annotationsOf(document);
  return shown;
}

export function toIdentity({ id, labels, workloads }: StoredIdentity, reports: Reports): Identity {
  return {
    id,
    labels: [...labels],
    workloads: [...workloads],
    endpoints: reports.endpointsWith(id).map((endpoint) => endpoint.id),
  };
}
