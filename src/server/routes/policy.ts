/** `/v1/policies`: who may talk? */
import { check } from '../../api/check.ts';
import { locateErrors, type ParsedDocument, toYaml } from '../../api/document.ts';
import { listOf } from '../../api/list.ts';
import {
  POLICY_DOCUMENTS,
  POLICY_KINDS,
  Policy,
  PolicyDocument,
  PolicyEnvelope,
  type PolicyKindName,
} from '../../api/policy.ts';
import { parsePolicy } from '../../core/policy.ts';
import { answer, answerObject, page, wantsYaml } from '../answer.ts';
import { DOCUMENT_TYPES, readDocument } from '../body.ts';
import type { ServerContext } from '../context.ts';
import { etagOf } from '../etag.ts';
import { expiryErrors } from '../expiry.ts';
import { parseTime } from '../flow-filter.ts';
import type { Operation, Request } from '../operation.ts';
import { labelsOfDocument, notFound, type Operation as Write } from '../plan.ts';
import { toProblem, unwrap } from '../problem-error.ts';
import { badParameter, booleanParameter, DRY_RUN, LIST_QUERY, SELECTOR_QUERY, WATCH_QUERY } from '../query.ts';
import { selectorOf } from '../selector-parameter.ts';
import { policyKey, type StoredPolicy } from '../state.ts';
import { readPolicyText } from '../store-sql.ts';
import { unusedRules } from '../unused-rule.ts';
import { toPolicy, toPolicyInFull } from '../view.ts';
import { watch } from '../watch.ts';
import { answerDelete, answerPut, writeRequest } from '../write-request.ts';

const tag = 'Policies';

export function policyOperations(context: ServerContext): Operation[] {
  return [list(context), ...POLICY_KINDS.flatMap((kind) => operationsOf(context, kind))];
}

function list(context: ServerContext): Operation {
  const { store, hits } = context;
  return {
    method: 'GET',
    path: '/v1/policies',
    tag,
    summary: 'List or watch policies of all kinds',
    access: 'read',
    query: {
      kind: { description: POLICY_KINDS.join(', ') },
      namespace: { description: 'Only those of this namespace' },
      unusedFor: {
        description: 'Only those with a rule that has decided nothing for so long, or since then',
        example: '30d',
      },
      ...SELECTOR_QUERY,
      ...LIST_QUERY,
      ...WATCH_QUERY,
    },
    answers: { 200: { schema: listOf(Policy), description: 'One page, or a stream' } },
    curl: '"$P/v1/policies?kind=cnp"',
    run(c) {
      const { kind, namespace, unusedFor: unusedText } = c.req.query();
      const unusedFor = unusedText === undefined ? undefined : parseTime('unusedFor', unusedText, new Date());
      if (kind !== undefined && !(POLICY_KINDS as readonly string[]).includes(kind)) {
        throw badParameter('kind', kind, `must be one of ${POLICY_KINDS.join(', ')}`, POLICY_KINDS);
      }
      const isSelected = selectorOf(c);
      const isWanted = (policy: StoredPolicy) =>
        (kind === undefined || policy.kind === kind) &&
        (namespace === undefined || policy.namespace === namespace) &&
        isSelected(labelsOfDocument(policy.document)) &&
        (unusedFor === undefined || unusedRules(policy, hits.of(policy), unusedFor.getTime()).length > 0);
      const toObject = (policy: StoredPolicy) => toPolicy(policy, store.state, context);
      if (booleanParameter(c, 'watch')) return watch(c, context, { collection: 'policies', isWanted, toObject });
      const { policies, revision } = store.state;
      return answer(c, page(c, policies, isWanted, toObject, revision));
    },
  };
}

function operationsOf(context: ServerContext, kind: PolicyKindName): Operation[] {
  const { store } = context;
  const { kind: documentKind, apiVersion, namespaced } = POLICY_DOCUMENTS[kind];
  const path = namespaced ? `/v1/policies/${kind}/:namespace/:name` : `/v1/policies/${kind}/:name`;
  const url = path.replace(':namespace', 'shop').replace(':name', 'backend');
  const metadata = { ...(namespaced && { namespace: 'shop' }), name: 'backend' };
  return [
    {
      method: 'GET',
      path,
      tag,
      summary: `One ${documentKind}; with Accept: application/yaml the text as it came`,
      access: 'read',
      answers: { 200: { schema: Policy, description: 'The policy' } },
      curl: `-H 'accept: application/yaml' $P${url}`,
      async run(c) {
        const stored = existing(context, c, kind);
        return wantsYaml(c)
          ? answerText(context, stored)
          : answerObject(c, toPolicyInFull(stored, store.state, context));
      },
    },
    {
      method: 'PUT',
      path,
      tag,
      summary: `Put a ${documentKind} in force, unchanged from a cluster`,
      access: 'write',
      query: { dryRun: DRY_RUN },
      body: {
        types: DOCUMENT_TYPES,
        schema: PolicyDocument,
        example: { apiVersion, kind: documentKind, metadata, spec: {} },
      },
      answers: {
        200: { schema: Policy, description: 'Replaced, or as it was' },
        201: { schema: Policy, description: 'Created' },
      },
      curl: `-X PUT $P${url} -H 'content-type: application/yaml' --data-binary @policy.yaml`,
      async run(c) {
        const document = withoutEnvelope(await readDocument(c));
        const write = policyWrite(document);
        checkPath(c, kind, write, document);
        const written = await writeRequest(c, context, [write]);
        return answerPut(c, written, 'policies', keyOf(c, kind), (stored) =>
          toPolicyInFull(stored, written.state, context),
        );
      },
    },
    {
      method: 'DELETE',
      path,
      tag,
      summary: `Take a ${documentKind} out of force`,
      access: 'write',
      query: { dryRun: DRY_RUN },
      answers: { 204: { description: 'Gone' } },
      curl: `-X DELETE $P${url}`,
      async run(c) {
        const { namespace, name = '' } = c.req.param() as { namespace?: string; name?: string };
        const write: Write = { type: 'deletePolicy', kind, ...(namespace !== undefined && { namespace }), name };
        return answerDelete(c, await writeRequest(c, context, [write]));
      },
    },
  ];
}

export function policyWrite(document: ParsedDocument): Extract<Write, { type: 'putPolicy' }> {
  const result = parsePolicy(document.value);
  if (!result.ok) {
    throw toProblem({ ...result, errors: locateErrors(result.errors, document) }, nameOf(document.value));
  }
  const { text, format } = document;
  const errors = expiryErrors(document.value as Readonly<Record<string, unknown>>, Date.now());
  if (errors.length > 0) throw toProblem({ ok: false, errors: locateErrors(errors, document) }, nameOf(document.value));
  const value = document.value as Readonly<Record<string, unknown>>;
  return { type: 'putPolicy', policy: result.value, document: value, text, format, warnings: result.warnings ?? [] };
}

/** `CiliumNetworkPolicy shop/backend`, as far as it is known. */
function nameOf(document: unknown): string {
  const { kind, metadata } = (document ?? {}) as { kind?: unknown; metadata?: { namespace?: unknown; name?: unknown } };
  const name = [metadata?.namespace, metadata?.name].filter((part) => typeof part === 'string').join('/');
  return `${typeof kind === 'string' ? kind : 'the policy'}${name === '' ? '' : ` ${name}`}`;
}

/** GET, edit, PUT: the envelope of GET stands for the document in it. */
function withoutEnvelope(document: ParsedDocument): ParsedDocument {
  const { value, locate } = document;
  if (typeof value !== 'object' || value === null || !('document' in value) || 'apiVersion' in value) return document;
  const envelope = unwrap(check(PolicyEnvelope, value), 'the envelope');
  return {
    value: envelope.document,
    text: toYaml(envelope.document),
    format: 'yaml',
    locate: (path) => locate(`/document${path}`),
  };
}

/** What the document says it is must be what the path says. */
function checkPath(
  c: Request,
  kind: PolicyKindName,
  write: Extract<Write, { type: 'putPolicy' }>,
  document: ParsedDocument,
) {
  const { policy } = write;
  const { namespace, name } = c.req.param() as { namespace?: string; name?: string };
  // A document of another kind belongs to another path: what else differs says nothing.
  const compared = [
    ['/kind', policy.kind, kind],
    ['/metadata/namespace', policy.namespace, namespace],
    ['/metadata/name', policy.name, name],
  ];
  const wrong = (policy.kind === kind ? compared : compared.slice(0, 1)).filter(([, is, wanted]) => is !== wanted) as [
    string,
    string,
    string,
  ][];
  if (wrong.length === 0) return;
  const errors = wrong.map(([path, is, wanted]) => ({
    path,
    message: `is ${path === '/kind' ? POLICY_DOCUMENTS[is as PolicyKindName].kind : `"${is}"`}, the path says "${wanted}"`,
    value: path === '/kind' ? POLICY_DOCUMENTS[is as PolicyKindName].kind : is,
    allowed: [path === '/kind' ? POLICY_DOCUMENTS[kind].kind : wanted],
  }));
  throw toProblem({ ok: false, errors: locateErrors(errors, document) }, nameOf(document.value));
}

function keyOf(c: Request, kind: PolicyKindName): string {
  const { namespace, name = '' } = c.req.param() as { namespace?: string; name?: string };
  return policyKey(kind, namespace, name);
}

function existing({ store }: ServerContext, c: Request, kind: PolicyKindName): StoredPolicy {
  const stored = store.state.policies.get(keyOf(c, kind));
  if (stored === undefined) throw notFound('policies', keyOf(c, kind));
  return stored;
}

async function answerText({ store }: ServerContext, { kind, namespace, name, meta }: StoredPolicy): Promise<Response> {
  const found = await readPolicyText(store.db, kind, namespace, name);
  if (found === undefined) throw notFound('policies', policyKey(kind, namespace, name));
  const text = found.format === 'yaml' ? found.text : toYaml(JSON.parse(found.text));
  return new Response(text, { headers: { 'content-type': 'application/yaml', vary: 'accept', etag: etagOf(meta) } });
}
