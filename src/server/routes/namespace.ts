/** `/v1/namespaces`: made on first use; labels of a namespace can be selected in policy. */
import { check } from '../../api/check.ts';
import { locateErrors, type ParsedDocument } from '../../api/document.ts';
import { listOf } from '../../api/list.ts';
import { NamespaceName } from '../../api/name.ts';
import { Namespace, NamespaceBody } from '../../api/namespace.ts';
import { NAMESPACE_NAME_LABEL } from '../../core/label.ts';
import { answer, answerObject, page } from '../answer.ts';
import { DOCUMENT_TYPES, readDocument } from '../body.ts';
import type { ServerContext } from '../context.ts';
import type { Operation } from '../operation.ts';
import { notFound, type Operation as Write } from '../plan.ts';
import { toProblem } from '../problem-error.ts';
import { booleanParameter, DRY_RUN, LIST_QUERY, SELECTOR_QUERY, WATCH_QUERY } from '../query.ts';
import { selectorOf } from '../selector-parameter.ts';
import type { StoredNamespace } from '../state.ts';
import { namespaceLabels, toNamespace } from '../view.ts';
import { watch } from '../watch.ts';
import { answerDelete, answerPut, writeRequest } from '../write-request.ts';

const tag = 'Namespaces';
const path = '/v1/namespaces/:name';
const EXAMPLE = { labels: { env: 'prod' } };

export function namespaceOperations(context: ServerContext): Operation[] {
  const { store } = context;
  return [
    {
      method: 'GET',
      path: '/v1/namespaces',
      tag,
      summary: 'List or watch namespaces',
      access: 'read',
      query: { ...SELECTOR_QUERY, ...LIST_QUERY, ...WATCH_QUERY },
      answers: { 200: { schema: listOf(Namespace), description: 'One page, or a stream' } },
      curl: '$P/v1/namespaces',
      run(c) {
        const isSelected = selectorOf(c);
        const isWanted = ({ name, labels }: StoredNamespace) => isSelected(namespaceLabels(name, labels));
        const toObject = (stored: StoredNamespace) => toNamespace(stored, store.state);
        if (booleanParameter(c, 'watch')) return watch(c, context, { collection: 'namespaces', isWanted, toObject });
        const { namespaces, revision } = store.state;
        return answer(c, page(c, namespaces, isWanted, toObject, revision));
      },
    },
    {
      method: 'GET',
      path,
      tag,
      summary: 'One namespace',
      access: 'read',
      answers: { 200: { schema: Namespace, description: 'The namespace' } },
      curl: '$P/v1/namespaces/shop',
      run(c) {
        const name = c.req.param('name')!;
        const stored = store.state.namespaces.get(name);
        if (stored === undefined) throw notFound('namespaces', name);
        return answerObject(c, toNamespace(stored, store.state));
      },
    },
    {
      method: 'PUT',
      path,
      tag,
      summary: 'Give a namespace labels',
      access: 'write',
      query: { dryRun: DRY_RUN },
      body: { types: DOCUMENT_TYPES, schema: NamespaceBody, example: EXAMPLE },
      answers: {
        200: { schema: Namespace, description: 'Replaced, or as it was' },
        201: { schema: Namespace, description: 'Created' },
      },
      curl: `-X PUT $P/v1/namespaces/shop -H 'content-type: application/json' -d '${JSON.stringify(EXAMPLE)}'`,
      async run(c) {
        const name = c.req.param('name')!;
        const written = await writeRequest(c, context, [namespaceWrite(name, await readDocument(c))]);
        return answerPut(c, written, 'namespaces', name, (stored) => toNamespace(stored, written.state));
      },
    },
    {
      method: 'DELETE',
      path,
      tag,
      summary: 'Delete a namespace that nothing is in',
      access: 'write',
      query: { dryRun: DRY_RUN },
      answers: { 204: { description: 'Gone' } },
      curl: '-X DELETE $P/v1/namespaces/shop',
      async run(c) {
        const name = c.req.param('name')!;
        return answerDelete(c, await writeRequest(c, context, [{ type: 'deleteNamespace', name }]));
      },
    },
  ];
}

/** @param prefix JSON pointer of the body inside the document */
export function namespaceWrite(
  name: string,
  document: ParsedDocument,
  body: unknown = document.value,
  prefix = '',
): Write {
  const named = check(NamespaceName, name, '/name');
  const result = check(NamespaceBody, body, prefix);
  const failure = named.ok ? result : named;
  if (!failure.ok) {
    throw toProblem({ ...failure, errors: locateErrors(failure.errors, document) }, `namespace ${name}`);
  }
  const value = result.ok ? result.value : {};
  const { [NAMESPACE_NAME_LABEL]: ownName = name, ...labels } = value.labels ?? {};
  const wrong = [
    ['/name', value.name ?? name],
    [`/labels/${NAMESPACE_NAME_LABEL.replace('/', '~1')}`, ownName],
  ].find(([, is]) => is !== name);
  if (wrong === undefined) return { type: 'putNamespace', name, labels };
  const error = { path: prefix + wrong[0], message: `is not "${name}", the name of the namespace`, value: wrong[1] };
  throw toProblem({ ok: false, errors: locateErrors([error], document) }, `namespace ${name}`);
}
