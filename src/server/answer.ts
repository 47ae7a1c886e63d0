/** Answers: JSON, or YAML where the client prefers it; one object with its ETag, or one page of a list. */
import { toYaml } from '../api/document.ts';
import type { ListOf } from '../api/list.ts';
import type { Meta } from '../api/meta.ts';
import { etagOf, parseEtags } from './etag.ts';
import type { Request } from './operation.ts';
import { badParameter, integerParameter } from './query.ts';

export function answer(c: Request, value: unknown, status = 200, headers: Record<string, string> = {}): Response {
  const isYaml = wantsYaml(c);
  const type = isYaml ? 'application/yaml' : 'application/json';
  const text = isYaml ? toYaml(value) : `${JSON.stringify(value)}\n`;
  return new Response(text, { status, headers: { 'content-type': type, vary: 'accept', ...headers } });
}

/** One object; 304 when the client already has it. */
export function answerObject(c: Request, object: { readonly meta: Meta }, status = 200): Response {
  const etag = etagOf(object.meta);
  const known = status === 200 && c.req.method === 'GET' ? parseEtags(c.req.header('if-none-match')) : undefined;
  if (known?.includes(etag)) return new Response(null, { status: 304, headers: { etag } });
  return answer(c, object, status, { etag });
}

export function wantsYaml(c: Request): boolean {
  const accept = c.req.header('accept') ?? '';
  return /\b(application|text)\/(x-)?yaml\b/.test(accept);
}

export const DEFAULT_LIMIT = 100;
export const MAX_LIMIT = 1000;

/**
 * One page of `entries` (key → value), in order of their keys. The cursor is the last key of the page before, so a page
 * never repeats or skips an object that was there all along.
 */
export function page<S, T>(
  c: Request,
  entries: Iterable<readonly [string, S]>,
  isWanted: (value: S) => boolean,
  toItem: (value: S) => T,
  revision: number,
): ListOf<T> {
  const limit = integerParameter(c, 'limit', 1, MAX_LIMIT) ?? DEFAULT_LIMIT;
  const after = readCursor(c);
  const rest = [...entries]
    .filter(([key, value]) => (after === undefined || key > after) && isWanted(value))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const shown = rest.slice(0, limit);
  const last = shown.at(-1);
  return {
    items: shown.map(([, value]) => toItem(value)),
    ...(rest.length > limit && last !== undefined && { next: toCursor(last[0]) }),
    revision,
  };
}

export function toCursor(key: string): string {
  return Buffer.from(key).toString('base64url');
}

export function readCursor(c: Request): string | undefined {
  const cursor = c.req.query('cursor');
  if (cursor === undefined) return undefined;
  if (!/^[\w-]+$/.test(cursor)) throw badParameter('cursor', cursor, 'must be the `next` of an earlier answer');
  return Buffer.from(cursor, 'base64url').toString('utf8');
}
