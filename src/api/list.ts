/** Lists and watch streams of any collection. */
import * as v from 'valibot';
import { object, oneOf } from './check.ts';

/** `next` is the cursor of the next page; `revision` is where a watch of this list begins. */
export function listOf<S extends v.BaseSchema<unknown, unknown, v.BaseIssue<unknown>>>(item: S) {
  return object({ items: v.array(item), next: v.optional(v.string()), revision: v.number() });
}

export interface ListOf<T> {
  items: T[];
  next?: string;
  revision: number;
}

export const WatchType = oneOf(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK']);

/** One NDJSON line of `?watch=true`. */
export const WatchEvent = object({ type: WatchType, revision: v.number(), object: v.optional(v.unknown()) });
export type WatchEvent = v.InferOutput<typeof WatchEvent>;
