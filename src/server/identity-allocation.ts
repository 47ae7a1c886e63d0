/**
 * Which number a set of labels has. Numbers are given out upwards and from the start again at the end; one whose last
 * workload has gone names nothing else for 30 days.
 */
import { MAX_WORKLOAD_NUMBER, MIN_WORKLOAD_NUMBER, workloadIdentity } from '../core/identity.ts';
import type { Draft } from './draft.ts';
import { modeOf, strictest } from './identity-mode.ts';
import { ProblemError } from './problem-error.ts';
import type { StoredIdentity, StoredWorkload } from './state.ts';

export const REUSE_AFTER_MS = 30 * 24 * 3600 * 1000;

/** The identity of `labels` (canonical): the one that has them, or a new one. */
export function allocateIdentity(draft: Draft, labels: readonly string[]): number {
  const wanted = labels.join('\n');
  const index = indexOf(draft);
  const known = index.get(wanted);
  if (known !== undefined) return known;
  const id = freeNumber(draft);
  index.set(wanted, id);
  draft.put('identities', String(id), { id, labels, workloads: [] });
  return id;
}

/** Moves a workload from one identity to another; either may be undefined. */
export function moveWorkload(
  draft: Draft,
  key: string,
  from: StoredWorkload | undefined,
  to: StoredWorkload | undefined,
) {
  if (from !== undefined && from.identity !== to?.identity) setMembers(draft, from.identity, key, false);
  if (to !== undefined) setMembers(draft, to.identity, key, true);
}

/** Puts a workload among those of an identity, or takes it away. */
export function setMembers(draft: Draft, id: number, key: string, present: boolean): void {
  const identity = draft.get('identities', String(id))!;
  const others = identity.workloads.filter((workload) => workload !== key);
  const workloads = present ? [...others, key].sort() : others;
  const ports = portsOf(draft, workloads);
  const mode = strictest(workloads.map((workload) => modeOf(draft, workload)));
  const next: StoredIdentity = {
    id,
    labels: identity.labels,
    workloads,
    ...(ports !== undefined && { ports }),
    ...(mode !== undefined && { mode }),
    ...(workloads.length === 0 && { unusedSince: draft.author.now }),
  };
  if (JSON.stringify(next) !== JSON.stringify(identity)) draft.put('identities', String(id), next);
}

/** Policy is decided by identity, so one name cannot be two ports of one identity. */
function portsOf(draft: Draft, workloads: readonly string[]): Record<string, string> | undefined {
  const ports: Record<string, string> = {};
  const owner: Record<string, string> = {};
  for (const key of workloads) {
    for (const [name, port] of Object.entries(portNames(draft, key))) {
      if (ports[name] !== undefined && ports[name] !== port) {
        throw new ProblemError(
          'conflict',
          `Cannot give port name "${name}" to ${port} of ${key}: ${owner[name]} has the same labels, and so the same ` +
            `identity, and calls ${ports[name]} so; use another name or another label`,
          { errors: [{ path: `/ports/${name}`, message: `is ${ports[name]} in ${owner[name]}`, value: port }] },
        );
      }
      ports[name] = port;
      owner[name] = key;
    }
  }
  return Object.keys(ports).length === 0 ? undefined : ports;
}

function portNames(draft: Draft, key: string): Readonly<Record<string, string>> {
  const workload = draft.get('workloads', key) ?? draft.get('hostWorkloads', key);
  return workload?.spec.ports ?? {};
}

/** Labels → id, for the draft's base; kept per base because a write of 1,000 workloads asks 1,000 times. */
const indexes = new WeakMap<Draft, Map<string, number>>();

function indexOf(draft: Draft): Map<string, number> {
  let index = indexes.get(draft);
  if (index === undefined) {
    index = new Map();
    for (const { id, labels } of draft.base.identities.values()) index.set(labels.join('\n'), id);
    indexes.set(draft, index);
  }
  return index;
}

function freeNumber(draft: Draft): number {
  const used = new Set([...indexOf(draft).values()].map((id) => id & 0xffff));
  const newest = Math.max(MIN_WORKLOAD_NUMBER - 1, ...used);
  if (newest < MAX_WORKLOAD_NUMBER) return workloadIdentity(newest + 1);
  for (let number = MIN_WORKLOAD_NUMBER; number <= MAX_WORKLOAD_NUMBER; number++) {
    if (!used.has(number)) return workloadIdentity(number);
  }
  const total = MAX_WORKLOAD_NUMBER - MIN_WORKLOAD_NUMBER + 1;
  throw new ProblemError(
    'does-not-fit',
    `Cannot allocate an identity: all ${total} numbers are taken (a number is free again 30 days after its last workload)`,
  );
}

/** Identities whose 30 days are over at `nowMs`: their numbers may be given out again. */
export function expiredIdentities(identities: Iterable<StoredIdentity>, nowMs: number): StoredIdentity[] {
  return [...identities].filter(
    ({ unusedSince }) => unusedSince !== undefined && Date.parse(unusedSince) < nowMs - REUSE_AFTER_MS,
  );
}
