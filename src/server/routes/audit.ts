/** `GET /v1/audit`: who changed what, before and after, newest first. One entry per object and revision. */
import { AUDIT_ACTIONS, AUDIT_COLLECTIONS, AuditEntry } from '../../api/audit.ts';
import { listOf } from '../../api/list.ts';
import { answer, DEFAULT_LIMIT, MAX_LIMIT, readCursor, toCursor } from '../answer.ts';
import type { ServerContext } from '../context.ts';
import { sql } from '../database.ts';
import { parseTime } from '../flow-filter.ts';
import type { Operation, Request } from '../operation.ts';
import { badParameter, integerParameter, LIST_QUERY } from '../query.ts';

interface Row extends Record<string, unknown> {
  readonly revision: number;
  readonly seq: number;
  readonly at: Date;
  readonly actor: string;
  readonly action: AuditEntry['action'];
  readonly collection: string;
  readonly key: string;
  readonly before: unknown;
  readonly after: unknown;
}

export function auditOperations({ store }: ServerContext): Operation[] {
  return [
    {
      method: 'GET',
      path: '/v1/audit',
      tag: 'Audit',
      summary: 'Who changed what, before and after; newest first',
      access: 'read',
      query: {
        collection: { description: AUDIT_COLLECTIONS.join(', ') },
        key: { description: 'Of the object: shop/backend, cnp/shop/backend, erp/billing@web-1' },
        actor: { description: 'Who: uid:0' },
        action: { description: AUDIT_ACTIONS.join(', ') },
        since: { description: 'Not before: a time, or how long ago', example: '24h' },
        until: { description: 'Not after' },
        ...LIST_QUERY,
      },
      answers: { 200: { schema: listOf(AuditEntry), description: 'One page' } },
      curl: '"$P/v1/audit?collection=policies&since=24h"',
      async run(c) {
        const limit = integerParameter(c, 'limit', 1, MAX_LIMIT) ?? DEFAULT_LIMIT;
        const where = sql.join([sql`true`, ...conditions(c)], sql` and `);
        const rows = await store.db.query<Row>(sql`
          select revision, seq, at, actor, action, collection, key, before, after from audit
          where ${where} order by revision desc, seq desc limit ${limit + 1}`);
        const shown = rows.slice(0, limit);
        const last = shown.at(-1);
        const next = rows.length > limit && last !== undefined ? toCursor(`${last.revision}.${last.seq}`) : undefined;
        const { revision } = store.state;
        return answer(c, { items: shown.map(toEntry), ...(next !== undefined && { next }), revision });
      },
    },
  ];
}

function conditions(c: Request): ReturnType<typeof sql>[] {
  const { collection, key, actor, action, since, until } = c.req.query();
  requireOne('collection', collection, AUDIT_COLLECTIONS);
  requireOne('action', action, AUDIT_ACTIONS);
  const cursor = readCursor(c);
  const [, revision, seq] = /^(\d+)\.(\d+)$/.exec(cursor ?? '') ?? [];
  if (cursor !== undefined && seq === undefined)
    throw badParameter('cursor', c.req.query('cursor')!, 'must be the `next` of an earlier answer');
  const now = new Date();
  return [
    ...(collection === undefined ? [] : [sql`collection = ${collection}`]),
    ...(key === undefined ? [] : [sql`key = ${key}`]),
    ...(actor === undefined ? [] : [sql`actor = ${actor}`]),
    ...(action === undefined ? [] : [sql`action = ${action}`]),
    ...(since === undefined ? [] : [sql`at >= ${toTime('since', since, now)}::timestamptz`]),
    ...(until === undefined ? [] : [sql`at <= ${toTime('until', until, now)}::timestamptz`]),
    ...(seq === undefined ? [] : [sql`(revision, seq) < (${revision}::bigint, ${seq}::int)`]),
  ];
}

function requireOne(name: string, value: string | undefined, allowed: readonly string[]): void {
  if (value !== undefined && !allowed.includes(value))
    throw badParameter(name, value, `must be one of ${allowed.join(', ')}`, allowed);
}

function toTime(name: 'since' | 'until', text: string, now: Date): string {
  return parseTime(name, text, now).toISOString();
}

function toEntry({ seq: _seq, at, before, after, ...rest }: Row): AuditEntry {
  return {
    ...(rest as Omit<AuditEntry, 'at'>),
    at: at.toISOString(),
    ...(before !== null && { before }),
    ...(after !== null && { after }),
  };
}
