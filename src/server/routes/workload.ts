/** `/v1/workloads`: who is it? */

import { locateErrors, type ParsedDocument } from '../../api/document.ts';
import { listOf } from '../../api/list.ts';
import { Workload, WorkloadBody } from '../../api/workload.ts';
import { validateWorkload } from '../../core/workload.ts';
import { answer, answerObject, page } from '../answer.ts';
import { DOCUMENT_TYPES, readDocument } from '../body.ts';
import type { ServerContext } from '../context.ts';
import { findFileWorkload, toFileWorkload } from '../host-workloads.ts';
import type { Operation } from '../operation.ts';
import { notFound, type Operation as Write } from '../plan.ts';
import { ProblemError, toProblem } from '../problem-error.ts';
import { booleanParameter, DRY_RUN, LIST_QUERY, SELECTOR_QUERY, WATCH_QUERY } from '../query.ts';
import { selectorOf } from '../selector-parameter.ts';
import type { StoredHostWorkload, StoredWorkload } from '../state.ts';
import { toWorkload, toWorkloadWithOverlaps } from '../view.ts';
import { watch } from '../watch.ts';
import { answerDelete, answerPut, writeRequest } from '../write-request.ts';

const tag = 'Workloads';
const path = '/v1/workloads/:namespace/:name';
const EXAMPLE = { labels: { app: 'orders' }, match: { systemdUnit: 'orders@*.service' } };

export function workloadOperations(context: ServerContext): Operation[] {
  const { store, reports } = context;
  return [
    {
      method: 'GET',
      path: '/v1/workloads',
      tag,
      summary: 'List or watch workloads',
      access: 'read',
      query: {
        namespace: { description: 'Only those of this namespace' },
        ...SELECTOR_QUERY,
        ...LIST_QUERY,
        ...WATCH_QUERY,
      },
      answers: { 200: { schema: listOf(Workload), description: 'One page, or a stream' } },
      curl: '"$P/v1/workloads?labelSelector=app=orders"',
      run(c) {
        const namespace = c.req.query('namespace');
        const isSelected = selectorOf(c);
        const isWanted = (workload: StoredWorkload) =>
          (namespace === undefined || workload.namespace === namespace) && isSelected(workload.spec.labels);
        const toObject = (workload: StoredWorkload) => toWorkload(workload, reports);
        if (booleanParameter(c, 'watch')) return watch(c, context, { collection: 'workloads', isWanted, toObject });
        const { workloads, hostWorkloads, revision } = store.state;
        const show = (workload: StoredWorkload | StoredHostWorkload) =>
          'host' in workload ? toFileWorkload(workload, store.state, reports) : toObject(workload);
        return answer(c, page(c, [...workloads, ...hostWorkloads], isWanted, show, revision));
      },
    },
    {
      method: 'GET',
      path,
      tag,
      summary: 'One workload, with what it matches and how sure that is',
      access: 'read',
      answers: { 200: { schema: Workload, description: 'The workload' } },
      curl: '$P/v1/workloads/shop/orders',
      run(c) {
        const key = `${c.req.param('namespace')}/${c.req.param('name')}`;
        const stored = store.state.workloads.get(key);
        const ofFile = stored === undefined ? findFileWorkload(store.state, key) : undefined;
        if (ofFile !== undefined) return answerObject(c, toFileWorkload(ofFile, store.state, reports));
        if (stored === undefined) throw notFound('workloads', key);
        return answerObject(c, toWorkloadWithOverlaps(stored, store.state, reports));
      },
    },
    {
      method: 'PUT',
      path,
      tag,
      summary: 'Register a workload, or replace its registration',
      access: 'write',
      query: { dryRun: DRY_RUN },
      body: { types: DOCUMENT_TYPES, schema: WorkloadBody, example: EXAMPLE },
      answers: {
        200: { schema: Workload, description: 'Replaced, or as it was' },
        201: { schema: Workload, description: 'Registered' },
      },
      curl: `-X PUT $P/v1/workloads/shop/orders -H 'content-type: application/json' -d '${JSON.stringify(EXAMPLE)}'`,
      async run(c) {
        const { namespace = '', name = '' } = c.req.param();
        const write = workloadWrite(namespace, name, await readDocument(c));
        const written = await writeRequest(c, context, [write]);
        return answerPut(c, written, 'workloads', `${namespace}/${name}`, (stored) =>
          toWorkloadWithOverlaps(stored, written.state, reports),
        );
      },
    },
    {
      method: 'DELETE',
      path,
      tag,
      summary: 'Take a registration away: its processes become nobody in particular',
      access: 'write',
      query: { dryRun: DRY_RUN },
      answers: { 204: { description: 'Gone' } },
      curl: '-X DELETE $P/v1/workloads/shop/orders',
      async run(c) {
        const { namespace = '', name = '' } = c.req.param();
        const key = `${namespace}/${name}`;
        const ofFile = store.state.workloads.has(key) ? undefined : findFileWorkload(store.state, key);
        if (ofFile !== undefined)
          throw new ProblemError(
            'conflict',
            `Cannot delete ${key}: ${ofFile.file} of host ${ofFile.host} registers it`,
            {
              hint: 'take it out of that file',
            },
          );
        return answerDelete(c, await writeRequest(c, context, [{ type: 'deleteWorkload', namespace, name }]));
      },
    },
  ];
}

/** @param prefix JSON pointer of the body inside the document */
export function workloadWrite(
  namespace: string,
  name: string,
  document: ParsedDocument,
  body: unknown = document.value,
  prefix = '',
): Write {
  const result = validateWorkload(namespace, name, body);
  if (result.ok) return { type: 'putWorkload', workload: result.value, warnings: result.warnings ?? [] };
  const errors = result.errors.map((error) => ({ ...error, path: prefix + error.path }));
  throw toProblem({ ...result, errors: locateErrors(errors, document) }, `workload ${namespace}/${name}`);
}
