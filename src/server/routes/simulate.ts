/** `POST /v1/policies:simulate` and `:suggest`: questions to the recorded flows. Nothing is changed, so both are reads. */
import { check, pointer } from '../../api/check.ts';
import { locateErrors, type ParsedDocument, toYaml } from '../../api/document.ts';
import { POLICY_KINDS } from '../../api/policy.ts';
import { SimulateBody, Simulation, SuggestBody, Suggestion } from '../../api/simulate.ts';
import { answer, wantsYaml } from '../answer.ts';
import { APPLY_BYTES, DOCUMENT_TYPES, readDocument, readDocuments } from '../body.ts';
import type { ServerContext } from '../context.ts';
import { parseTime } from '../flow-filter.ts';
import { type ObservedRange, readObserved } from '../observed.ts';
import type { Operation, Request } from '../operation.ts';
import { planWrite, type Operation as Write } from '../plan.ts';
import { ProblemError, toProblem } from '../problem-error.ts';
import { simulate } from '../simulate.ts';
import { suggest } from '../suggest.ts';
import { readWrites } from './apply.ts';

const tag = 'Policies';
const RANGE = {
  since: { description: 'From when flows count: a time, or how long ago; default 24h', example: '24h' },
  until: { description: 'Until when; default now' },
};

export function simulateOperations(context: ServerContext): Operation[] {
  return [
    {
      method: 'POST',
      path: '/v1/policies:simulate',
      tag,
      summary:
        'Replay recorded flows against documents that are not in force: which would be judged otherwise, and by which rule',
      access: 'read',
      query: { ...RANGE, delete: { description: 'Policies that would go', example: 'cnp/shop/backend,ccnp/base' } },
      body: {
        types: DOCUMENT_TYPES,
        schema: SimulateBody,
        example: { documents: [], delete: ['cnp/shop/backend'], since: '24h' },
      },
      answers: { 200: { schema: Simulation, description: 'What would change, by pair, port and rule' } },
      curl: "-X POST '$P/v1/policies:simulate?since=24h' -H 'content-type: application/yaml' --data-binary @new.yaml",
      run: (c) => runSimulation(c, context),
    },
    {
      method: 'POST',
      path: '/v1/policies:suggest',
      tag,
      summary:
        'The least policy that would have allowed what was seen, to be reviewed; YAML with comments with Accept: application/yaml',
      access: 'read',
      body: { types: DOCUMENT_TYPES, schema: SuggestBody, example: { workload: 'shop/backend', since: '7d' } },
      answers: { 200: { schema: Suggestion, description: 'The documents' } },
      curl: '-X POST $P/v1/policies:suggest -H \'content-type: application/json\' -H \'accept: application/yaml\' -d \'{"workload":"shop/backend","since":"7d"}\'',
      async run(c) {
        const document = await readDocument(c);
        const result = check(SuggestBody, document.value);
        if (!result.ok) throw toProblem({ ...result, errors: locateErrors(result.errors, document) }, 'the question');
        const { workload, namespace } = result.value;
        const scope = workload ?? (namespace === undefined ? undefined : `${namespace}/*`);
        if (workload !== undefined && !context.store.state.workloads.has(workload)) {
          throw new ProblemError('not-found', `There is no workload ${workload}`, {
            errors: [{ path: '/workload', message: 'is not registered', value: workload }],
          });
        }
        const range = toRange(result.value, scope);
        await context.flows.flush();
        const observed = await readObserved(context.flows.db, range);
        const suggestion = {
          ...toTimes(range),
          ...suggest(observed, context.store.state, context.reports, { ...result.value, range }),
        };
        if (!wantsYaml(c)) return answer(c, suggestion);
        return new Response(suggestion.yaml, { headers: { 'content-type': 'application/yaml', vary: 'accept' } });
      },
    },
  ];
}

async function runSimulation(c: Request, { store, flows, reports }: ServerContext): Promise<Response> {
  const { documents, deletes, times } = readProposal(c, await readDocuments(c, APPLY_BYTES));
  const range = toRange(times);
  const { state } = store;
  const writes = [...readWrites(documents), ...deletes.map(toDelete)];
  if (writes.length === 0)
    throw new ProblemError('invalid', 'The body holds no document, and nothing is to be deleted');
  const now = new Date().toISOString();
  const author = { revision: state.revision + 1, now, actor: c.get('actor'), newUid: () => crypto.randomUUID() };
  const draft = planWrite(state, writes, author);
  await flows.flush();
  const simulated = simulate(await readObserved(flows.db, range), state, draft.next, reports);
  return answer(c, { ...toTimes(range), revision: state.revision, results: draft.results, ...simulated });
}

interface Proposal {
  readonly documents: readonly ParsedDocument[];
  readonly deletes: readonly string[];
  readonly times: { readonly since?: string | undefined; readonly until?: string | undefined };
}

/** Documents alone, or `{documents, delete, since, until}`; query parameters go before the body's fields. */
function readProposal(c: Request, parsed: readonly ParsedDocument[]): Proposal {
  const { since, until, delete: deleted } = c.req.query();
  const named = deleted === undefined || deleted === '' ? [] : deleted.split(',');
  const [first] = parsed;
  const isEnvelope = parsed.length === 1 && !hasKey(first!.value, 'apiVersion') && !hasKey(first!.value, 'kind');
  if (!isEnvelope) return { documents: parsed, deletes: named, times: { since, until } };
  const body = check(SimulateBody, first!.value);
  if (!body.ok) throw toProblem({ ...body, errors: locateErrors(body.errors, first!) }, 'the proposal');
  const documents = (body.value.documents ?? []).map(
    (value, i): ParsedDocument => ({
      value,
      text: toYaml(value),
      format: 'yaml',
      locate: (path) => first!.locate(pointer(['documents', i]) + path),
    }),
  );
  const times = { since: since ?? body.value.since, until: until ?? body.value.until };
  return { documents, deletes: [...(body.value.delete ?? []), ...named], times };
}

function hasKey(value: unknown, key: string): boolean {
  return typeof value === 'object' && value !== null && key in value;
}

function toDelete(ref: string): Write {
  const [kind, ...rest] = ref.split('/');
  const known = POLICY_KINDS.find((word) => word === kind);
  const name = rest.at(-1);
  if (known === undefined || name === undefined || rest.length > 2) {
    throw new ProblemError('invalid', `"${ref}" is not the name of a policy: cnp/shop/backend, ccnp/base`, {
      errors: [{ path: '/delete', message: 'must be the names of policies', value: ref }],
    });
  }
  return { type: 'deletePolicy', kind: known, ...(rest.length === 2 && { namespace: rest[0]! }), name };
}

const DEFAULT_SINCE = '24h';

function toRange(times: Proposal['times'], workload?: string): ObservedRange {
  const now = new Date();
  const since = parseTime('since', times.since ?? DEFAULT_SINCE, now);
  const until = times.until === undefined ? now : parseTime('until', times.until, now);
  return { since, until, ...(workload !== undefined && { workload }) };
}

function toTimes({ since, until }: ObservedRange): { since: string; until: string } {
  return { since: since.toISOString(), until: until.toISOString() };
}
