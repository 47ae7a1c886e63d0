/** What every writing route does around its operations: preconditions, dry run, and the answer. */
import type { Plan } from '../api/apply.ts';
import { answer } from './answer.ts';
import type { ServerContext } from './context.ts';
import { planOf } from './dry-run-plan.ts';
import { etagOf, parseEtags } from './etag.ts';
import type { Request } from './operation.ts';
import type { Operation, Precondition, Prune } from './plan.ts';
import { booleanParameter } from './query.ts';
import type { StoredOf } from './state.ts';
import type { Written } from './store.ts';

/** @param several the body holds documents, each with an ETag of its own: If-Match lists those of all */
export async function writeRequest(
  c: Request,
  context: ServerContext,
  operations: readonly Operation[],
  prune?: Prune,
  several = false,
): Promise<Answered> {
  const precondition = { ...preconditionOf(c), required: context.requireIfMatch, several };
  const written = await context.store.write(operations, {
    actor: c.get('actor'),
    dryRun: booleanParameter(c, 'dryRun'),
    precondition,
    prune,
  });
  const plan = planOf(written, context.reports);
  return plan === undefined ? written : { ...written, plan };
}

export interface Answered extends Written {
  /** Of a dry run. */
  readonly plan?: Plan;
}

/** 201 or 200 with the object as it is now; with `plan` when it was a dry run. */
export function answerPut<C extends 'workloads' | 'policies' | 'namespaces'>(
  c: Request,
  written: Answered,
  collection: C,
  key: string,
  toObject: (stored: StoredOf[C]) => { readonly meta: { readonly uid: string; readonly revision: number } },
): Response {
  const object = toObject(written.state[collection].get(key) as StoredOf[C]);
  const created = written.draft.results.at(-1)?.result === 'created';
  const body = written.plan === undefined ? object : { ...object, plan: written.plan };
  return answer(c, body, created ? 201 : 200, { etag: etagOf(object.meta) });
}

/** 204, or in a dry run 200 with the plan, which 204 has no room for. */
export function answerDelete(c: Request, written: Answered): Response {
  return written.plan === undefined ? new Response(null, { status: 204 }) : answer(c, { plan: written.plan });
}

function preconditionOf(c: Request): Precondition {
  const match = parseEtags(c.req.header('if-match'));
  const noneMatch = parseEtags(c.req.header('if-none-match'));
  return { ...(match !== undefined && { match }), ...(noneMatch !== undefined && { noneMatch }) };
}
