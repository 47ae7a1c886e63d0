/** `/v1/policies/…/history`, `/diff` and `:rollback`: who changed what, when, and back again. */
import { check } from '../../api/check.ts';
import { locateErrors } from '../../api/document.ts';
import { HistoryEntry, PolicyDiff, PolicyRevision, Rollback } from '../../api/history.ts';
import { listOf } from '../../api/list.ts';
import { POLICY_DOCUMENTS, POLICY_KINDS, Policy, type PolicyKindName } from '../../api/policy.ts';
import { parsePolicy } from '../../core/policy.ts';
import { answer, MAX_LIMIT, readCursor, toCursor, wantsYaml } from '../answer.ts';
import { DOCUMENT_TYPES, readDocument } from '../body.ts';
import type { ServerContext } from '../context.ts';
import { expiryErrors } from '../expiry.ts';
import { readDiff, readHistory, readRevision, readVersion } from '../history.ts';
import type { Operation, Request } from '../operation.ts';
import { toProblem, unwrap } from '../problem-error.ts';
import { badParameter, DRY_RUN, integerParameter, LIST_QUERY } from '../query.ts';
import { policyKey } from '../state.ts';
import { toPolicyInFull } from '../view.ts';
import { answerPut, writeRequest } from '../write-request.ts';

const tag = 'Policies';
const NEWEST = Number.MAX_SAFE_INTEGER;

export function policyHistoryOperations(context: ServerContext): Operation[] {
  return POLICY_KINDS.flatMap((kind) => operationsOf(context, kind));
}

function operationsOf(context: ServerContext, kind: PolicyKindName): Operation[] {
  const { store } = context;
  const { db } = store;
  const { kind: documentKind, namespaced } = POLICY_DOCUMENTS[kind];
  const path = namespaced ? `/v1/policies/${kind}/:namespace/:name` : `/v1/policies/${kind}/:name`;
  const url = path.replace(':namespace', 'shop').replace(':name', 'backend');
  return [
    {
      method: 'GET',
      path: `${path}/history`,
      tag,
      summary: `Each revision of a ${documentKind}, newest first: who, when, what; also of one that is deleted`,
      access: 'read',
      query: LIST_QUERY,
      answers: { 200: { schema: listOf(HistoryEntry), description: 'One page' } },
      curl: `$P${url}/history`,
      async run(c) {
        const limit = integerParameter(c, 'limit', 1, MAX_LIMIT) ?? 100;
        const { items, next } = await readHistory(db, keyOf(c, kind), limit, readBefore(c));
        const { revision } = store.state;
        return answer(c, { items, ...(next !== undefined && { next: toCursor(String(next)) }), revision });
      },
    },
    {
      method: 'GET',
      path: `${path}/history/:revision`,
      tag,
      summary: `A ${documentKind} as it was after a revision; with Accept: application/yaml the text as it came`,
      access: 'read',
      answers: {
        200: { schema: PolicyRevision, description: 'That revision, or the one before it that changed the policy' },
      },
      curl: `$P${url}/history/7`,
      async run(c) {
        const revision = toRevision('revision', c.req.param('revision')!);
        if (!wantsYaml(c)) return answer(c, await readRevision(db, keyOf(c, kind), revision));
        const { text } = await readVersion(db, keyOf(c, kind), revision);
        return new Response(text, { headers: { 'content-type': 'application/yaml', vary: 'accept' } });
      },
    },
    {
      method: 'GET',
      path: `${path}/diff`,
      tag,
      summary: `What changed in a ${documentKind} between two revisions, as fields and as a unified diff`,
      access: 'read',
      query: {
        from: { description: 'Revision; absent = the one before `to`' },
        to: { description: 'Revision; absent = the newest' },
      },
      answers: { 200: { schema: PolicyDiff, description: 'The differences' } },
      curl: `"$P${url}/diff?from=3&to=7"`,
      async run(c) {
        const from = integerParameter(c, 'from', 0, NEWEST);
        const to = integerParameter(c, 'to', 1, NEWEST);
        for (const [name, revision] of Object.entries({ from, to })) {
          if (revision !== undefined && revision > store.state.revision)
            throw badParameter(name, String(revision), `is not there yet: the newest is ${store.state.revision}`);
        }
        return answer(c, await readDiff(db, keyOf(c, kind), from, to));
      },
    },
    {
      method: 'POST',
      path: `${path}:rollback`,
      tag,
      summary: `Put a ${documentKind} back as it was after a revision; also one that is deleted`,
      access: 'write',
      query: { dryRun: DRY_RUN },
      body: { types: DOCUMENT_TYPES, schema: Rollback, example: { revision: 7 } },
      answers: {
        200: { schema: Policy, description: 'As it was then, under a new revision' },
        201: { schema: Policy, description: 'There again' },
      },
      curl: `-X POST $P${url}:rollback -H 'content-type: application/json' -d '{"revision":7}'`,
      async run(c) {
        const document = await readDocument(c);
        const body = check(Rollback, document.value);
        if (!body.ok) throw toProblem({ ...body, errors: locateErrors(body.errors, document) }, 'the rollback');
        const key = keyOf(c, kind);
        const { revision } = body.value;
        if (revision > store.state.revision) {
          const error = {
            path: '/revision',
            message: `is not there yet: the newest is ${store.state.revision}`,
            value: revision,
          };
          throw toProblem({ ok: false, errors: locateErrors([error], document) }, 'the rollback');
        }
        const version = await readVersion(db, key, revision);
        const policy = unwrap(parsePolicy(version.document), `revision ${version.revision} of ${key}`);
        const errors = expiryErrors(version.document, Date.now());
        if (errors.length > 0) throw toProblem({ ok: false, errors }, `revision ${version.revision} of ${key}`);
        const { document: then, text, format } = version;
        const written = await writeRequest(c, context, [{ type: 'putPolicy', policy, document: then, text, format }]);
        return answerPut(c, written, 'policies', key, (stored) => toPolicyInFull(stored, written.state, context));
      },
    },
  ];
}

function keyOf(c: Request, kind: PolicyKindName): string {
  const { namespace, name = '' } = c.req.param() as { namespace?: string; name?: string };
  return policyKey(kind, namespace, name.replace(/:rollback$/, ''));
}

function readBefore(c: Request): number | undefined {
  const cursor = readCursor(c);
  if (cursor === undefined) return undefined;
  if (/^\d+$/.test(cursor)) return Number(cursor);
  throw badParameter('cursor', c.req.query('cursor')!, 'must be the `next` of an earlier answer');
}

function toRevision(name: string, text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw badParameter(name, text, 'must be a revision, 1 or more');
}
