/** `POST /v1/access:check`: a question, answered by the policy that is wanted now. Changes nothing, so it is a read. */
import { AccessAnswer, AccessQuestion } from '../../api/access.ts';
import { check } from '../../api/check.ts';
import { locateErrors } from '../../api/document.ts';
import { checkConnection } from '../access-check.ts';
import { answer } from '../answer.ts';
import { DOCUMENT_TYPES, readDocument } from '../body.ts';
import type { ServerContext } from '../context.ts';
import type { Operation } from '../operation.ts';
import { toProblem } from '../problem-error.ts';

const EXAMPLE = { from: { workload: 'shop/frontend' }, to: { workload: 'shop/backend' }, port: 6379, protocol: 'TCP' };

export function accessOperations({ store, reports }: ServerContext): Operation[] {
  return [
    {
      method: 'POST',
      path: '/v1/access:check',
      tag: 'Policies',
      summary: 'May these two talk, and which rule decides? Both directions, each with the reason',
      access: 'read',
      body: { types: DOCUMENT_TYPES, schema: AccessQuestion, example: EXAMPLE },
      answers: { 200: { schema: AccessAnswer, description: 'The verdict' } },
      curl: `-X POST $P/v1/access:check -H 'content-type: application/json' -d '${JSON.stringify(EXAMPLE)}'`,
      async run(c) {
        const document = await readDocument(c);
        const result = check(AccessQuestion, document.value);
        if (!result.ok) throw toProblem({ ...result, errors: locateErrors(result.errors, document) }, 'the question');
        return answer(c, checkConnection(result.value, store.state, reports));
      },
    },
  ];
}
