/**
 * Holds a value against a valibot schema and says what is wrong in the words of the wire: a JSON pointer, the value,
 * what is allowed, and for an unknown field the nearest known one.
 */
import * as v from 'valibot';
import { nearest } from '../core/nearest.ts';
import type { FieldError, Result } from '../core/problem.ts';

type Schema = v.BaseSchema<unknown, unknown, v.BaseIssue<unknown>>;

/** `prefix` is the JSON pointer of `value` inside the document that the user sent. */
export function check<S extends Schema>(schema: S, value: unknown, prefix = ''): Result<v.InferOutput<S>> {
  if (schema.type === 'strict_object' && Array.isArray(value))
    return { ok: false, status: 400, errors: [{ path: prefix, message: 'must be an object, is an array' }] };
  const result = v.safeParse(schema, value);
  if (result.success) return { ok: true, value: result.output };
  const errors = result.issues.map((issue) => toFieldError(issue, prefix));
  const supported = errors.some((error) => error.code !== 'not-supported');
  return { ok: false, status: supported ? 400 : 422, errors };
}

/**
 * A strict object: a field that is not in `entries` is refused by name. `later` are fields that the product's language
 * has and this version does not: refused as "not supported yet", so that nobody takes them for a slip of the pen.
 */
export function object<const E extends v.ObjectEntries>(entries: E, later: readonly string[] = []) {
  const known = Object.keys(entries);
  return v.strictObject(entries, (issue) => {
    if (issue.expected === 'never') {
      const field = lastKey(issue);
      allowedOf.set(issue, known);
      codeOf.set(issue, later.includes(field) ? 'not-supported' : 'unknown-field');
      return later.includes(field) ? `${field} is not supported yet` : unknownField(field, known);
    }
    if (issue.received === 'undefined' && issue.expected !== 'Object') return 'is required';
    return `must be an object, is ${typeName(issue.input)}`;
  });
}

/** One of a few words; `later` as in `object`. */
export function oneOf<const T extends readonly string[]>(words: T, later: readonly string[] = []) {
  return v.picklist(words, (issue) => {
    allowedOf.set(issue, words);
    if (typeof issue.input === 'string' && later.includes(issue.input)) {
      codeOf.set(issue, 'not-supported');
      return `"${issue.input}" is not supported yet`;
    }
    const near = typeof issue.input === 'string' ? nearest(issue.input, words) : undefined;
    return `must be one of ${words.join(', ')}${near === undefined ? '' : `; did you mean "${near}"?`}`;
  });
}

export function unknownField(field: string, known: readonly string[]): string {
  const near = nearest(field, known);
  return `unknown field "${field}"${near === undefined ? '' : `, did you mean "${near}"?`}`;
}

/** JSON pointer (RFC 6901) of a path of keys. */
export function pointer(keys: readonly (string | number)[]): string {
  return keys.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

const allowedOf = new WeakMap<object, readonly string[]>();
const codeOf = new WeakMap<object, string>();

function toFieldError(issue: v.BaseIssue<unknown>, prefix: string): FieldError {
  const keys = (issue.path ?? []).map((item) => item.key as string | number);
  const allowed = allowedOf.get(issue);
  const code = codeOf.get(issue);
  return {
    path: prefix + pointer(keys),
    message: plainMessage(issue),
    ...(issue.input !== undefined && { value: shorten(issue.input) }),
    ...(allowed !== undefined && { allowed }),
    ...(code !== undefined && { code }),
  };
}

const TYPES: Readonly<Record<string, string>> = { Array: 'an array', Object: 'an object' };

/** valibot's own words for what a pipe asks, in ours. */
const ASKED: Readonly<Record<string, (requirement: unknown) => string>> = {
  max_value: (most) => `must be at most ${most}`,
  min_value: (least) => `must be at least ${least}`,
  integer: () => 'must be a whole number',
  max_length: (most) => `must not be longer than ${most}`,
  min_length: (least) => `must not be shorter than ${least}`,
  non_empty: () => 'must not be empty',
};

function plainMessage(issue: v.BaseIssue<unknown>): string {
  const asked = issue.kind === 'validation' && /^Invalid \w+: /.test(issue.message) ? ASKED[issue.type] : undefined;
  if (asked !== undefined) return asked(issue.requirement);
  if (issue.kind !== 'schema' || !issue.message.startsWith('Invalid type')) return issue.message;
  if (issue.received === 'undefined') return 'is required';
  return `must be ${TYPES[issue.expected ?? ''] ?? issue.expected ?? 'something else'}, is ${typeName(issue.input)}`;
}

function lastKey(issue: v.BaseIssue<unknown>): string {
  return String(issue.path?.at(-1)?.key ?? '');
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** A value in an error is there to be recognised, not to be sent back whole. */
function shorten(value: unknown): unknown {
  const text = JSON.stringify(value);
  if (text === undefined || text.length <= 200) return value;
  return `${text.slice(0, 200)}…`;
}
