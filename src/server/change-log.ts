/** The log of revisions that watches and agents resume from. It reaches back a bounded way. */
import { type Queries, sql } from './database.ts';
import type { Change, Revision, StoredPolicy } from './state.ts';
import { readPolicy } from './store-sql.ts';

/** How many revisions back a watch can resume. */
export const CHANGES_KEPT = 10_000;

/** The revisions after `revision`, in order; undefined when the log does not reach back so far. */
export async function readRevisions(db: Queries, revision: number, upTo: number): Promise<Revision[] | undefined> {
  if (revision >= upTo) return [];
  const rows = await db.query<{ revision: number } & Record<string, unknown>>(sql`
    select revision, collection, key, type, object from changes
    where revision > ${revision} and revision <= ${upTo} order by revision, seq`);
  if (rows[0]?.revision !== revision + 1) return undefined;
  const revisions = Map.groupBy(rows, (row) => row.revision);
  return [...revisions].map(([n, changes]) => ({ revision: n, changes: changes.map(toChange) }));
}

function toChange({ collection, key, type, object }: Record<string, unknown>): Change {
  if (collection === 'policies' && type !== 'DELETED') readPolicy((object as StoredPolicy).document);
  return { collection, key, type, object } as Change;
}

export async function pruneChanges(db: Queries, revision: number): Promise<void> {
  await db.query(sql`delete from changes where revision <= ${revision - CHANGES_KEPT}`);
}
