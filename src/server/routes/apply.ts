/** `POST /v1/apply`: many documents of many kinds, all or nothing. */

import { APPLY_KINDS, ApplyAnswer, type ApplyResult, OWN_API_VERSION } from '../../api/apply.ts';
import { check, pointer } from '../../api/check.ts';
import { locateErrors, type ParsedDocument, toYaml } from '../../api/document.ts';
import { POLICY_DOCUMENTS, POLICY_KINDS } from '../../api/policy.ts';
import { nearest } from '../../core/nearest.ts';
import { OLDER_VERSIONS } from '../../core/policy.ts';
import type { FieldError } from '../../core/problem.ts';
import { answer } from '../answer.ts';
import { KubernetesNamespace, OwnDocument } from '../apply-document.ts';
import { APPLY_BYTES, DOCUMENT_TYPES, readDocuments } from '../body.ts';
import type { ServerContext } from '../context.ts';
import type { Operation, Request } from '../operation.ts';
import { describe, labelsOfDocument, type Prune, type Operation as Write } from '../plan.ts';
import { ProblemError, toProblem } from '../problem-error.ts';
import { badParameter, DRY_RUN } from '../query.ts';
import { selectorOf } from '../selector-parameter.ts';
import { policyKey, type State } from '../state.ts';
import { toPolicy, toPolicyInFull } from '../view.ts';
import { writeRequest } from '../write-request.ts';
import { namespaceWrite } from './namespace.ts';
import { policyWrite } from './policy.ts';
import { workloadWrite } from './workload.ts';

export function applyOperations(context: ServerContext): Operation[] {
  return [
    {
      method: 'POST',
      path: '/v1/apply',
      tag: 'Apply',
      summary: 'Put many documents in force at once: policies, workloads, namespaces; all or nothing',
      access: 'write',
      query: {
        dryRun: DRY_RUN,
        prune: {
          description:
            'Delete policies (and workloads, if there are any in the body) with such labels that the body does not name',
          example: 'team=shop',
        },
      },
      body: { types: DOCUMENT_TYPES },
      answers: { 200: { schema: ApplyAnswer, description: 'What happened to each document' } },
      curl: "-X POST $P/v1/apply -H 'content-type: application/yaml' --data-binary @policies.yaml",
      async run(c) {
        const documents = (await readDocuments(c, APPLY_BYTES)).flatMap(unpackList);
        const writes = readAll(documents);
        if (writes.length === 0) throw new ProblemError('invalid', 'The body holds no document');
        const prune = readPrune(c, documents, writes);
        const written = await writeRequest(c, context, writes, prune, true);
        const results = withWarnings(written.draft.results, written.state, context);
        const { revision, plan } = written;
        return answer(c, { results, revision, ...(plan !== undefined && { plan }) });
      },
    },
  ];
}

/** Policies whose warnings are looked for: each is held against every identity; the first few with what needs a compiler. */
const MOST_WARNED = 200;
const IN_FULL = 10;

/** What is legal and surprising of the policies that changed, as their status will say it. */
function withWarnings(results: readonly ApplyResult[], state: State, context: ServerContext): ApplyResult[] {
  let seen = 0;
  return results.map((result) => {
    const kind = POLICY_KINDS.find((name) => POLICY_DOCUMENTS[name].kind === result.kind);
    const changed = kind !== undefined && (result.result === 'created' || result.result === 'updated');
    if (!changed || ++seen > MOST_WARNED) return result;
    const stored = state.policies.get(policyKey(kind, result.namespace, result.name));
    const toObject = seen <= IN_FULL ? toPolicyInFull : toPolicy;
    const warnings = stored === undefined ? [] : toObject(stored, state, context).status.warnings;
    return warnings.length === 0 ? result : { ...result, warnings };
  });
}

/** All documents, lists unpacked, or all that is wrong with any of them. */
export function readWrites(parsed: readonly ParsedDocument[]): Write[] {
  return readAll(parsed.flatMap(unpackList));
}

/** `?prune=`: a policy of the body that the selector does not select would be out of reach of the next prune. */
function readPrune(c: Request, documents: readonly ParsedDocument[], writes: readonly Write[]): Prune | undefined {
  const text = c.req.query('prune');
  if (text === undefined) return undefined;
  if (text.trim() === '') throw badParameter('prune', text, 'must be a label selector: everything is never pruned');
  const isSelected = selectorOf(c, 'prune');
  const errors = documents.flatMap((document, i): FieldError[] => {
    const write = writes[i]!;
    if (write.type !== 'putPolicy' || isSelected(labelsOfDocument(write.document))) return [];
    const message = `must have the labels that prune selects by: ${text}`;
    const at = locateErrors([{ path: '/metadata/labels', message }], document);
    return at.map((error) => ({ ...error, document: nameOf(document.value, i) }));
  });
  if (errors.length > 0) throw toProblem({ ok: false, errors }, `?prune=${text}`);
  return { isSelected, workloads: writes.some(({ type }) => type === 'putWorkload') };
}

function readAll(documents: readonly ParsedDocument[]): Write[] {
  const writes: Write[] = [];
  const errors: FieldError[] = [];
  let first: ProblemError | undefined;
  for (const [i, document] of documents.entries()) {
    try {
      writes.push(readOne(document));
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      // One malformed document makes the whole malformed.
      if (first === undefined || (first.status === 422 && error.status === 400)) first = error;
      const name = nameOf(document.value, i);
      errors.push(...(error.details.errors ?? []).map((item) => ({ ...item, document: name })));
    }
  }
  if (first === undefined) {
    refuseTwice(writes, documents);
    return writes;
  }
  throw new ProblemError(first.code, first.message, { ...first.details, errors });
}

/** With both places of each that is there twice. */
function refuseTwice(writes: readonly Write[], documents: readonly ParsedDocument[]): void {
  const places = Map.groupBy(writes.keys(), (i) => describe(writes[i]!));
  const errors = [...places].flatMap(([name, where]) =>
    where.length < 2
      ? []
      : where.flatMap((i) => {
          const at = locateErrors([{ path: '', message: `${name} is there twice` }], documents[i]!);
          return at.map((error) => ({ ...error, document: nameOf(documents[i]!.value, i) }));
        }),
  );
  const [error] = errors;
  if (error !== undefined) throw new ProblemError('conflict', `Cannot apply: ${error.message}`, { errors });
}

function readOne(document: ParsedDocument): Write {
  if (typeof document.value !== 'object' || Array.isArray(document.value)) {
    const is = Array.isArray(document.value) ? 'an array' : `a ${typeof document.value}`;
    const errors = locateErrors(
      [{ path: '', message: `must be an object with apiVersion and kind, is ${is}` }],
      document,
    );
    throw toProblem({ ok: false, errors }, 'the document');
  }
  const { apiVersion, kind } = (document.value ?? {}) as { apiVersion?: unknown; kind?: unknown };
  const known = kindProblem(apiVersion, kind);
  if (known !== undefined) {
    throw toProblem({ ok: false, ...known, errors: locateErrors(known.errors, document) }, 'the document');
  }
  if (apiVersion === 'v1') return readKubernetesNamespace(document);
  if (apiVersion !== OWN_API_VERSION) return policyWrite(document);
  const result = check(OwnDocument, document.value);
  if (!result.ok) throw toProblem({ ...result, errors: locateErrors(result.errors, document) }, `the ${String(kind)}`);
  const { metadata, spec } = result.value;
  if (kind === 'Namespace') return namespaceWrite(metadata.name, document, spec ?? {}, '/spec');
  return workloadWrite(metadata.namespace ?? 'default', metadata.name, document, spec ?? {}, '/spec');
}

function readKubernetesNamespace(document: ParsedDocument): Write {
  const result = check(KubernetesNamespace, document.value);
  if (!result.ok) throw toProblem({ ...result, errors: locateErrors(result.errors, document) }, 'the Namespace');
  const { name, labels = {} } = result.value.metadata;
  return namespaceWrite(name, document, { labels }, '/metadata');
}

function kindProblem(apiVersion: unknown, kind: unknown): { status: 400 | 422; errors: FieldError[] } | undefined {
  if (OLDER_VERSIONS[String(kind)] === apiVersion) return undefined;
  const kinds: readonly string[] = (APPLY_KINDS as Record<string, readonly string[]>)[String(apiVersion)] ?? [];
  if (kinds.includes(String(kind))) return undefined;
  const allKinds = Object.values(APPLY_KINDS).flat();
  if (kinds.length === 0) {
    const allowed = Object.keys(APPLY_KINDS);
    const path = '/apiVersion';
    if (apiVersion === undefined) return { status: 400, errors: [{ path, message: 'is required', allowed }] };
    const known = Object.entries(APPLY_KINDS).find(([, names]) => (names as readonly string[]).includes(String(kind)));
    const message = known === undefined ? 'is not understood' : `of a ${String(kind)} must be ${known[0]}`;
    return { status: known === undefined ? 422 : 400, errors: [{ path, message, value: apiVersion, allowed }] };
  }
  const path = '/kind';
  if (kind === undefined) return { status: 400, errors: [{ path, message: 'is required', allowed: kinds }] };
  const near = typeof kind === 'string' ? nearest(kind, allKinds) : undefined;
  const message = `${String(kind)} is not supported yet${near === undefined ? '' : `; did you mean ${near}?`}`;
  return { status: 422, errors: [{ path, message, value: kind, allowed: kinds, code: 'not-supported' }] };
}

/** `kind: List` stands for its items. */
function unpackList(document: ParsedDocument): ParsedDocument[] {
  const value = document.value as { kind?: unknown; apiVersion?: unknown; items?: unknown } | null;
  if (typeof value !== 'object' || value?.kind !== 'List' || value.apiVersion !== 'v1') return [document];
  if (!Array.isArray(value.items)) {
    const errors = locateErrors([{ path: '/items', message: 'must be an array' }], document);
    throw toProblem({ ok: false, errors }, 'the List');
  }
  return value.items.flatMap((item, i) =>
    unpackList({
      value: item,
      text: toYaml(item),
      format: 'yaml',
      locate: (path) => document.locate(pointer(['items', i]) + path),
    }),
  );
}

/** How an error says which document it means. */
function nameOf(value: unknown, index: number): string {
  const { kind, metadata } = (value ?? {}) as { kind?: unknown; metadata?: { namespace?: unknown; name?: unknown } };
  const name = [metadata?.namespace, metadata?.name].filter((part) => typeof part === 'string').join('/');
  return typeof kind === 'string' && name !== '' ? `${kind} ${name}` : `document ${index + 1}`;
}
