/** Operations → draft: what a write would change. No I/O; refuses by throwing a ProblemError. */

import { createHash } from 'node:crypto';
import type { Meta } from '../api/meta.ts';
import type { PolicyKindName } from '../api/policy.ts';
import type { WorkloadSpec } from '../api/workload.ts';
import { workloadLabels } from '../core/label.ts';
import type { Policy } from '../core/policy.ts';
import type { Workload } from '../core/workload.ts';
import { overlapping } from '../core/workload-addresses.ts';
import { deriveIdentity, moveDerived, underiveIdentity } from './derived-identity.ts';
import { type Author, Draft } from './draft.ts';
import { etagOf } from './etag.ts';
import { allocateIdentity, moveWorkload } from './identity-allocation.ts';
import { checkModes } from './identity-mode.ts';
import { ProblemError } from './problem-error.ts';
import { type Collection, policyKey, rememberPolicy, type State, type StoredOf, type StoredWorkload } from './state.ts';

/** From If-Match and If-None-Match; `*` = whatever it is. */
export interface Precondition {
  readonly match?: readonly string[];
  readonly noneMatch?: readonly string[];
  /** What exists is written only with `match`. */
  readonly required?: boolean;
  /** `match` is of several objects: each that exists is at one of them, each of them is one's; what is new needs none. */
  readonly several?: boolean;
}

export type Operation =
  | { readonly type: 'putNamespace'; readonly name: string; readonly labels: Readonly<Record<string, string>> }
  | { readonly type: 'putWorkload'; readonly workload: Workload; readonly warnings?: readonly string[] }
  | {
      readonly type: 'putPolicy';
      readonly policy: Policy;
      readonly document: Readonly<Record<string, unknown>>;
      readonly text: string;
      readonly format: 'json' | 'yaml';
      readonly warnings?: readonly string[];
    }
  | { readonly type: 'deleteNamespace'; readonly name: string }
  | { readonly type: 'deleteWorkload'; readonly namespace: string; readonly name: string }
  | {
      readonly type: 'putHostWorkload';
      readonly host: string;
      readonly file: string;
      readonly workload: Workload;
    }
  | {
      readonly type: 'deleteHostWorkload';
      readonly host: string;
      readonly namespace: string;
      readonly name: string;
    }
  /** What hosts add to the labels of a workload (its key). */
  | { readonly type: 'deriveIdentity'; readonly workload: string; readonly added: readonly string[] }
  | { readonly type: 'underiveIdentity'; readonly workload: string; readonly id: number }
  | {
      readonly type: 'deletePolicy';
      readonly kind: PolicyKindName;
      readonly namespace?: string;
      readonly name: string;
    };

/** What `apply` deletes: objects with such labels that the operations do not name. */
export interface Prune {
  readonly isSelected: (labels: Readonly<Record<string, string>>) => boolean;
  /** Policies always; workloads only where the operations have some too. */
  readonly workloads: boolean;
}

export const CLUSTER_NAME = 'default';

export function planWrite(
  base: State,
  operations: readonly Operation[],
  author: Author,
  precondition: Precondition = {},
  prune?: Prune,
): Draft {
  const draft = new Draft(base, author);
  const seen = new Set<string>();
  const gone = prune === undefined ? [] : pruned(base, operations, prune);
  const unmet = new Set(precondition.several ? precondition.match : []);
  unmet.delete('*');
  for (const operation of inOrder([...operations, ...gone])) {
    const target = targetOf(operation);
    const name = `${target.collection} ${target.key}`;
    if (seen.has(name)) throw new ProblemError('conflict', `Cannot apply: ${describe(operation)} is there twice`);
    seen.add(name);
    const current = draft.get(target.collection, target.key);
    checkPrecondition(current, precondition, describe(operation), target);
    unmet.delete(etagOfStored(current) ?? '');
    perform(draft, operation, target.key);
  }
  if (unmet.size > 0) {
    const tags = [...unmet].join(', ');
    throw new ProblemError(
      'stale',
      `Cannot apply: If-Match asks for ${tags}, where none of the documents is; GET them again`,
    );
  }
  checkModes(draft);
  return draft;
}

export function targetOf(operation: Operation): { collection: Collection; key: string } {
  switch (operation.type) {
    case 'putNamespace':
    case 'deleteNamespace':
      return { collection: 'namespaces', key: operation.name };
    case 'putWorkload':
      return { collection: 'workloads', key: `${operation.workload.namespace}/${operation.workload.name}` };
    case 'deleteWorkload':
      return { collection: 'workloads', key: `${operation.namespace}/${operation.name}` };
    case 'putHostWorkload': {
      const { namespace, name } = operation.workload;
      return { collection: 'hostWorkloads', key: hostWorkloadKey(namespace, name, operation.host) };
    }
    case 'deleteHostWorkload': {
      const { namespace, name, host } = operation;
      return { collection: 'hostWorkloads', key: hostWorkloadKey(namespace, name, host) };
    }
    case 'deriveIdentity':
      return { collection: 'identities', key: [operation.workload, ...operation.added].join(' ') };
    case 'underiveIdentity':
      return { collection: 'identities', key: `${operation.workload} ${operation.id}` };
    case 'putPolicy': {
      const { kind, namespace, name } = operation.policy;
      return { collection: 'policies', key: policyKey(kind, namespace, name) };
    }
    case 'deletePolicy':
      return { collection: 'policies', key: policyKey(operation.kind, operation.namespace, operation.name) };
  }
}

function pruned(base: State, operations: readonly Operation[], { isSelected, workloads }: Prune): Operation[] {
  const named = new Set(operations.map((operation) => Object.values(targetOf(operation)).join(' ')));
  const policies = [...base.policies].flatMap(([key, { kind, namespace, name, document }]): Operation[] => {
    const isKept = named.has(`policies ${key}`) || !isSelected(labelsOfDocument(document));
    return isKept ? [] : [{ type: 'deletePolicy', kind, ...(namespace !== undefined && { namespace }), name }];
  });
  if (!workloads) return policies;
  const others = [...base.workloads].flatMap(([key, { namespace, name, spec }]): Operation[] =>
    named.has(`workloads ${key}`) || !isSelected(spec.labels) ? [] : [{ type: 'deleteWorkload', namespace, name }],
  );
  return [...policies, ...others];
}

export function labelsOfDocument(document: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  return (document.metadata as { labels?: Record<string, string> } | undefined)?.labels ?? {};
}

/** Namespaces before what is in them. */
function inOrder(operations: readonly Operation[]): Operation[] {
  const rank = (operation: Operation) =>
    operation.type === 'putNamespace' ? 0 : operation.type === 'deleteNamespace' ? 2 : 1;
  return [...operations].sort((a, b) => rank(a) - rank(b));
}

export function describe(operation: Operation): string {
  const { collection, key } = targetOf(operation);
  return collection === 'policies' ? key : `${collection.slice(0, -1)} ${key}`;
}

function perform(draft: Draft, operation: Operation, key: string): void {
  switch (operation.type) {
    case 'putNamespace':
      putNamespace(draft, operation.name, operation.labels);
      break;
    case 'putWorkload':
      putWorkload(draft, key, operation);
      break;
    case 'putPolicy':
      putPolicy(draft, key, operation);
      break;
    case 'deleteNamespace':
      deleteNamespace(draft, operation.name);
      break;
    case 'deleteWorkload': {
      const before = existing(draft, 'workloads', key);
      draft.remove('workloads', key);
      move(draft, key, before, undefined);
      draft.results.push({ kind: 'Workload', namespace: before.namespace, name: before.name, result: 'deleted' });
      break;
    }
    case 'putHostWorkload':
      putHostWorkload(draft, key, operation);
      break;
    case 'deleteHostWorkload': {
      const before = existing(draft, 'hostWorkloads', key);
      draft.remove('hostWorkloads', key);
      move(draft, key, before, undefined);
      break;
    }
    case 'deriveIdentity':
      deriveIdentity(draft, operation.workload, operation.added);
      break;
    case 'underiveIdentity':
      underiveIdentity(draft, operation.workload, operation.id);
      break;
    case 'deletePolicy': {
      const { document, namespace, name } = existing(draft, 'policies', key);
      draft.remove('policies', key);
      draft.results.push({ kind: String(document.kind), ...(namespace && { namespace }), name, result: 'deleted' });
    }
  }
}

function putNamespace(draft: Draft, name: string, labels: Readonly<Record<string, string>>): void {
  const before = draft.get('namespaces', name);
  const same = before !== undefined && isSame(before.labels, labels);
  if (!same) {
    draft.put('namespaces', name, {
      name,
      labels,
      meta: draft.metaOf(before),
      createdRevision: before?.createdRevision ?? draft.author.revision,
    });
  }
  draft.results.push({ kind: 'Namespace', name, result: resultOf(before, same) });
}

function putWorkload(draft: Draft, key: string, { workload, warnings }: Extract<Operation, { type: 'putWorkload' }>) {
  const { namespace, name, ...fields } = workload;
  const spec = JSON.parse(JSON.stringify(fields)) as WorkloadSpec;
  const before = draft.get('workloads', key);
  const same = before !== undefined && isSame(before.spec, spec);
  if (!same) {
    if (workload.addresses !== undefined) checkApart(draft, key, workload.addresses);
    useNamespace(draft, namespace);
    const identity = allocateIdentity(draft, workloadLabels(namespace, workload.labels, CLUSTER_NAME));
    const createdRevision = before?.createdRevision ?? draft.author.revision;
    const stored = { namespace, name, spec, identity, meta: draft.metaOf(before), createdRevision };
    draft.put('workloads', key, stored);
    move(draft, key, before, stored);
  }
  const result = resultOf(before, same);
  draft.results.push({
    kind: 'Workload',
    namespace,
    name,
    result,
    ...(warnings?.length && { warnings: [...warnings] }),
  });
}

/** The same registration again is no change, also from another file. */
function putHostWorkload(
  draft: Draft,
  key: string,
  { host, file, workload }: Extract<Operation, { type: 'putHostWorkload' }>,
) {
  const { namespace, name, ...fields } = workload;
  const spec = JSON.parse(JSON.stringify(fields)) as WorkloadSpec;
  const before = draft.get('hostWorkloads', key);
  if (before !== undefined && isSame(before.spec, spec) && before.file === file) return;
  useNamespace(draft, namespace);
  const identity = allocateIdentity(draft, workloadLabels(namespace, workload.labels, CLUSTER_NAME));
  const createdRevision = before?.createdRevision ?? draft.author.revision;
  const stored = { host, file, namespace, name, spec, identity, meta: draft.metaOf(before), createdRevision };
  draft.put('hostWorkloads', key, stored);
  move(draft, key, before, stored);
}

function move(draft: Draft, key: string, from: StoredWorkload | undefined, to: StoredWorkload | undefined): void {
  moveWorkload(draft, key, from, to);
  moveDerived(draft, key, from, to);
}

export function hostWorkloadKey(namespace: string, name: string, host: string): string {
  return `${namespace}/${name}@${host}`;
}

/** An address is one workload's at most. */
function checkApart(draft: Draft, key: string, addresses: readonly string[]): void {
  for (const [other, { spec }] of draft.next.workloads) {
    const pair = other === key ? undefined : overlapping(addresses, spec.addresses ?? []);
    if (pair === undefined) continue;
    const [own, theirs] = pair;
    throw new ProblemError(
      'conflict',
      `Cannot register workload ${key}: ${own} overlaps ${theirs} of workload ${other}`,
    );
  }
}

function putPolicy(draft: Draft, key: string, operation: Extract<Operation, { type: 'putPolicy' }>): void {
  const { policy, document, warnings } = operation;
  const { kind, namespace, name } = policy;
  const before = draft.get('policies', key);
  const textHash = hashText(operation.text);
  const same = before !== undefined && before.textHash === textHash && isSame(before.document, document);
  if (!same) {
    if (namespace !== undefined) useNamespace(draft, namespace);
    rememberPolicy(document, policy);
    draft.put('policies', key, {
      kind,
      ...(namespace !== undefined && { namespace }),
      name,
      document,
      textHash,
      meta: draft.metaOf(before),
      createdRevision: before?.createdRevision ?? draft.author.revision,
    });
  }
  draft.results.push({
    kind: String(document.kind),
    ...(namespace !== undefined && { namespace }),
    name,
    result: resultOf(before, same),
    ...(warnings?.length && { warnings: [...warnings] }),
  });
}

function deleteNamespace(draft: Draft, name: string): void {
  existing(draft, 'namespaces', name);
  const { workloads, hostWorkloads, policies } = draft.next;
  const inside = [...workloads.values(), ...hostWorkloads.values(), ...policies.values()].filter(
    (object) => object.namespace === name,
  );
  if (inside.length > 0) {
    throw new ProblemError(
      'conflict',
      `Cannot delete namespace ${name}: ${inside.length} objects are in it, ${inside[0]!.name} first; delete them before`,
    );
  }
  draft.remove('namespaces', name);
  draft.results.push({ kind: 'Namespace', name, result: 'deleted' });
}

/** A namespace is made when something is put into it. */
function useNamespace(draft: Draft, name: string): void {
  if (draft.get('namespaces', name) !== undefined) return;
  const meta = draft.metaOf(undefined);
  draft.put('namespaces', name, { name, labels: {}, meta, createdRevision: draft.author.revision });
}

function existing<C extends Collection>(draft: Draft, collection: C, key: string): StoredOf[C] {
  const found = draft.get(collection, key);
  if (found === undefined) throw notFound(collection, key);
  return found;
}

export function notFound(collection: string, key: string): ProblemError {
  return new ProblemError('not-found', `There is no ${key} in ${collection}`, {
    hint: `curl http://127.0.0.1:7460/v1/${collection}`,
  });
}

function checkPrecondition(
  current: object | undefined,
  { match, noneMatch, required, several }: Precondition,
  name: string,
  { collection, key }: ReturnType<typeof targetOf>,
): void {
  if (required && match === undefined && current !== undefined) {
    throw new ProblemError('precondition', `${name} exists and this server wants If-Match with its ETag`, {
      hint: `curl -i http://127.0.0.1:7460/v1/${collection}/${key} shows it`,
    });
  }
  const etag = etagOfStored(current);
  const isAmong = (tags: readonly string[]) => etag !== undefined && (tags.includes('*') || tags.includes(etag));
  if (match !== undefined && !isAmong(match) && !(several && current === undefined)) {
    const is = etag === undefined ? 'it does not exist' : `it is at ${etag}`;
    throw new ProblemError('stale', `Cannot write ${name}: If-Match asks for ${match.join(', ')}, ${is}; GET it again`);
  }
  if (noneMatch !== undefined && isAmong(noneMatch)) {
    throw new ProblemError('stale', `Cannot create ${name}: it exists, at ${etag}`);
  }
}

function etagOfStored(stored: object | undefined): string | undefined {
  return stored !== undefined && 'meta' in stored ? etagOf(stored.meta as Meta) : undefined;
}

function resultOf(before: unknown, same: boolean): 'created' | 'updated' | 'unchanged' {
  return same ? 'unchanged' : before === undefined ? 'created' : 'updated';
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** A changed comment is a change: the text is given back as it came. */
export function hashText(text: string): string {
  return createHash('sha256').update(text).digest('base64').slice(0, 22);
}
