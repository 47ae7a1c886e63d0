/** The history of one policy, from the audit log: each revision with its document and its text as it came. */
import { toYaml } from '../api/document.ts';
import type { HistoryEntry, PolicyDiff, PolicyRevision } from '../api/history.ts';
import { jsonDiff } from '../core/json-diff.ts';
import { textDiff } from '../core/text-diff.ts';
import { type Queries, sql } from './database.ts';
import { notFound } from './plan.ts';
import { ProblemError } from './problem-error.ts';
import type { PolicyText } from './store-sql.ts';

type Document = Readonly<Record<string, unknown>>;

interface Row extends Record<string, unknown> {
  readonly revision: number;
  readonly at: Date;
  readonly actor: string;
  readonly action: HistoryEntry['action'];
  readonly before: { readonly document: Document } | null;
  readonly after: { readonly document: Document } | null;
  readonly text: string | null;
  readonly format: 'json' | 'yaml' | null;
}

export interface HistoryPage {
  readonly items: HistoryEntry[];
  /** The revision before which the next page begins. */
  readonly next: number | undefined;
}

/** Newest first; throws 404 for a policy that never was. @param key `cnp/shop/backend` */
export async function readHistory(db: Queries, key: string, limit: number, before?: number): Promise<HistoryPage> {
  const rows = await readRows(db, key, before === undefined ? Number.MAX_SAFE_INTEGER : before - 1, limit + 1);
  if (rows.length === 0 && before === undefined) throw notFound('policies', key);
  const shown = rows.slice(0, limit);
  return { items: shown.map(toEntry), next: rows.length > limit ? shown.at(-1)!.revision : undefined };
}

export interface Version extends PolicyText {
  readonly revision: number;
  readonly document: Document;
}

/** The policy as it was after `revision`, with its text; throws 404 for one that never was, 409 for one that was not there then. */
export async function readVersion(db: Queries, key: string, revision: number): Promise<Version> {
  const [row] = await readRows(db, key, revision, 1);
  if (row === undefined || row.after === null) throw await notThen(db, key, revision, row);
  return { revision: row.revision, document: row.after.document, ...textOf(row) };
}

/** One of its own revisions, or the one that held after `revision`. */
export async function readRevision(db: Queries, key: string, revision: number): Promise<PolicyRevision> {
  const [row] = await readRows(db, key, revision, 1);
  if (row === undefined) throw await notThen(db, key, revision, undefined);
  return { ...toEntry(row), ...(row.after !== null && { document: row.after.document }) };
}

/** @param from absent = what was before `to` @param to absent = what is now, or the last there was */
export async function readDiff(
  db: Queries,
  key: string,
  from: number | undefined,
  to: number | undefined,
): Promise<PolicyDiff> {
  const [newer] = await readRows(db, key, to ?? Number.MAX_SAFE_INTEGER, 1);
  if (newer === undefined) throw await notThen(db, key, to, undefined);
  const [older] = await readRows(db, key, from ?? newer.revision - 1, 1);
  const texts = [older, newer].map((row) => (row === undefined || row.after === null ? '' : textOf(row).text));
  const name = (row: Row | undefined) => `${key} revision ${row?.revision ?? 0}`;
  return {
    from: older?.revision ?? 0,
    to: newer.revision,
    changes: toChanges(older?.after?.document, newer.after?.document),
    text: textDiff(texts[0]!, texts[1]!, [name(older), name(newer)]),
  };
}

function readRows(db: Queries, key: string, upTo: number, limit: number): Promise<Row[]> {
  return db.query<Row>(sql`
    select revision, at, actor, action, before, after, text, format from audit
    where collection = 'policies' and key = ${key} and revision <= ${upTo}::bigint
    order by revision desc limit ${limit}`);
}

async function notThen(
  db: Queries,
  key: string,
  revision: number | undefined,
  row: Row | undefined,
): Promise<ProblemError> {
  const [any] = await readRows(db, key, Number.MAX_SAFE_INTEGER, 1);
  if (any === undefined) return notFound('policies', key);
  const why = row === undefined ? 'it was created later' : `it was deleted at revision ${row.revision}`;
  return new ProblemError('conflict', `There was no ${key} at revision ${revision ?? 'that'}: ${why}`, {
    hint: `curl http://127.0.0.1:7460/v1/policies/${key}/history`,
  });
}

function toEntry({ revision, at, actor, action, before, after }: Row): HistoryEntry {
  const changes = toChanges(before?.document, after?.document);
  return { revision, at: at.toISOString(), by: actor, action, changes };
}

/** Of a document that came or went as a whole: nothing, the action says it. */
function toChanges(before: Document | undefined, after: Document | undefined): PolicyDiff['changes'] {
  return before === undefined || after === undefined ? [] : jsonDiff(before, after).map((change) => ({ ...change }));
}

/** Where the text was not kept, the document stands for it. */
function textOf({ text, format, after }: Row): PolicyText {
  if (text !== null && format !== null) return { text, format };
  return { text: toYaml(after!.document), format: 'yaml' };
}
