/** `/v1/identities`: which number is which set of labels. */
import { Identity } from '../../api/identity.ts';
import { listOf } from '../../api/list.ts';
import { RESERVED_IDENTITIES } from '../../core/identity.ts';
import { answer, page } from '../answer.ts';
import type { ServerContext } from '../context.ts';
import type { Operation } from '../operation.ts';
import { notFound } from '../plan.ts';
import { booleanParameter, LIST_QUERY, SELECTOR_QUERY, WATCH_QUERY } from '../query.ts';
import { selectorOf } from '../selector-parameter.ts';
import type { StoredIdentity } from '../state.ts';
import { toIdentity } from '../view.ts';
import { watch } from '../watch.ts';

const tag = 'Identities';

const RESERVED: readonly StoredIdentity[] = RESERVED_IDENTITIES.map(({ id, labels }) => ({
  id,
  labels,
  workloads: [],
}));

export function identityOperations(context: ServerContext): Operation[] {
  const { store, reports } = context;
  const toObject = (identity: StoredIdentity) => toIdentity(identity, reports);
  return [
    {
      method: 'GET',
      path: '/v1/identities',
      tag,
      summary: 'List or watch identities: the reserved ones, and those that workloads have',
      access: 'read',
      query: { ...SELECTOR_QUERY, ...LIST_QUERY, ...WATCH_QUERY },
      answers: { 200: { schema: listOf(Identity), description: 'One page, or a stream' } },
      curl: '$P/v1/identities',
      run(c) {
        const isSelected = selectorOf(c);
        const isWanted = (identity: StoredIdentity) =>
          identity.unusedSince === undefined && isSelected(withoutSource(identity.labels));
        if (booleanParameter(c, 'watch')) {
          // A departure is shown although the identity is then nobody's.
          const isSeen = (identity: StoredIdentity) => isSelected(withoutSource(identity.labels));
          return watch(c, context, { collection: 'identities', isWanted: isSeen, toObject });
        }
        const { identities, revision } = store.state;
        const all = [...RESERVED, ...identities.values()];
        const entries = all.map((identity) => [String(identity.id).padStart(10, '0'), identity] as const);
        return answer(c, page(c, entries, isWanted, toObject, revision));
      },
    },
    {
      method: 'GET',
      path: '/v1/identities/:id',
      tag,
      summary: 'One identity by its number',
      access: 'read',
      answers: { 200: { schema: Identity, description: 'The identity' } },
      curl: '$P/v1/identities/65792',
      run(c) {
        const id = c.req.param('id')!;
        const identity = store.state.identities.get(id) ?? RESERVED.find((reserved) => String(reserved.id) === id);
        if (identity === undefined) throw notFound('identities', id);
        return answer(c, toObject(identity));
      },
    },
  ];
}

/** `user:app=web` → app: web, so that `labelSelector=app=web` finds it. */
function withoutSource(labels: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    labels.map((label) => {
      const [key = '', value = ''] = label.slice(label.indexOf(':') + 1).split('=');
      return [key, value];
    }),
  );
}
