/** `…/history`, `…/diff`, `…:rollback` of a policy: who changed what, when. */
import * as v from 'valibot';
import { object, oneOf } from './check.ts';
import { PolicyDocument } from './policy.ts';

export const DocumentChange = object({
  /** JSON pointer into the document. */
  path: v.string(),
  before: v.optional(v.unknown()),
  after: v.optional(v.unknown()),
});

export const HistoryEntry = object({
  revision: v.number(),
  at: v.string(),
  /** `uid:0` for a local user, `expiry` for what ended by itself. */
  by: v.string(),
  action: oneOf(['create', 'update', 'delete']),
  /** Empty when only the text changed: comments, order, layout. */
  changes: v.array(DocumentChange),
});
export type HistoryEntry = v.InferOutput<typeof HistoryEntry>;

/** A policy as it was after one of its revisions. */
export const PolicyRevision = object({
  ...HistoryEntry.entries,
  /** Absent when it was deleted. */
  document: v.optional(PolicyDocument),
});
export type PolicyRevision = v.InferOutput<typeof PolicyRevision>;

export const PolicyDiff = object({
  /** Revisions of the policy; `from` 0 = before it was created. */
  from: v.number(),
  to: v.number(),
  changes: v.array(DocumentChange),
  /** Unified diff of the texts. */
  text: v.string(),
});
export type PolicyDiff = v.InferOutput<typeof PolicyDiff>;

export const Rollback = object({
  /** What the policy was after it; need not be one of its own revisions. */
  revision: v.pipe(v.number(), v.integer('must be an integer'), v.minValue(1, 'must be 1 or more')),
});
