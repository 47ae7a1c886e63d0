/** Stored objects as the API shows them: what the user wrote, what the server keeps, and how it is going. */
import type { Identity } from '../api/identity.ts';
import type { Namespace } from '../api/namespace.ts';
import type { Policy, PolicyStatus } from '../api/policy.ts';
import type { Workload, WorkloadStatus } from '../api/workload.ts';
import { NAMESPACE_NAME_LABEL } from '../core/label.ts';
import { claimOf } from '../core/match-claim.ts';
import { findOverlaps, type Registration } from '../core/match-overlap.ts';
import { policyWarnings } from './policy-warnings.ts';
import type { Reports } from './reports.ts';
import {
  policyOf,
  type State,
  type StoredIdentity,
  type StoredNamespace,
  type StoredPolicy,
  type StoredWorkload,
} from './state.ts';
import { selectedIdentities } from './world.ts';

export function toWorkload({ namespace, name, spec, meta, identity }: StoredWorkload, reports: Reports): Workload {
  return {
    namespace,
    name,
    ...spec,
    meta,
    status: workloadStatus(`${namespace}/${name}`, spec.match, identity, reports),
  };
}

/** With what other registrations may match too: for one workload, since each is held against all. */
export function toWorkloadWithOverlaps(stored: StoredWorkload, state: State, reports: Reports): Workload {
  const workload = toWorkload(stored, reports);
  const overlaps = findOverlaps(toRegistration(stored), registrations(state));
  return { ...workload, status: { ...workload.status, overlaps } };
}

function* registrations(state: State): Iterable<Registration> {
  for (const stored of state.workloads.values()) yield toRegistration(stored);
}

function toRegistration({ namespace, name, spec, createdRevision }: StoredWorkload): Registration {
  return { ref: `${namespace}/${name}`, match: spec.match, priority: spec.priority, createdRevision };
}

function workloadStatus(key: string, match: Workload['match'], identity: number, reports: Reports): WorkloadStatus {
  const { grade, spoofable } = claimOf(match);
  const endpoints = reports.endpointsOf(key);
  const conflicts = endpoints
    .filter((endpoint) => endpoint.state === 'conflict')
    .flatMap((endpoint) => endpoint.why?.beats?.map((beaten) => beaten.workload) ?? []);
  const drifted = endpoints.filter((endpoint) => endpoint.state === 'drifted').length;
  const hint = match.length === 0 ? undefined : workloadHint(endpoints.length, drifted, spoofable, reports);
  return {
    identity,
    grade,
    spoofable,
    endpoints: endpoints.length,
    hosts: new Set(endpoints.map((endpoint) => endpoint.host)).size,
    conflicts: [...new Set(conflicts)].sort(),
    drifted,
    ...(hint !== undefined && { hint }),
  };
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

export function toPolicy(stored: StoredPolicy, state: State, reports: Reports): Policy {
  const { kind, namespace, name, document, meta } = stored;
  return {
    kind,
    ...(namespace !== undefined && { namespace }),
    name,
    document,
    meta,
    status: policyStatus(stored, state, reports),
  };
}

function policyStatus(stored: StoredPolicy, state: State, reports: Reports): PolicyStatus {
  const policy = policyOf(stored);
  const selected = policy === undefined ? [] : selectedIdentities(policy, state);
  const endpoints = selected.flatMap(({ id }) => reports.endpointsWith(id));
  const applied = [...reports.all.values()].filter(({ report }) => report.appliedRevision >= stored.meta.revision);
  return {
    mode: 'enforce',
    valid: policy !== undefined,
    selects: { endpoints: endpoints.length, hosts: new Set(endpoints.map((endpoint) => endpoint.host)).size },
    enforced: { revision: stored.meta.revision, hosts: applied.length, of: reports.all.size },
    warnings: policyWarnings(stored, policy, selected.length, state),
  };
}

export function toIdentity({ id, labels, workloads }: StoredIdentity, reports: Reports): Identity {
  return {
    id,
    labels: [...labels],
    workloads: [...workloads],
    endpoints: reports.endpointsWith(id).map((endpoint) => endpoint.id),
  };
}
