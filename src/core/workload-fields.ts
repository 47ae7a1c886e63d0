import type { FieldError, Result } from './problem.ts';

/** Collects what is wrong with the fields of a body; 422 only when nothing is malformed and something is yet to come. */
export interface Fields {
  readonly errors: FieldError[];
  bad(path: string, message: string, value?: unknown, allowed?: readonly string[], column?: number): void;
  later(path: string, name: string): void;
  /** An object with known fields only; reports and returns false when it is none. */
  object(
    path: string,
    value: unknown,
    known: readonly string[],
    later: readonly string[],
  ): value is Record<string, unknown>;
  /** An object whose values are strings. */
  map(path: string, value: unknown): value is Record<string, string>;
  text(path: string, value: unknown): value is string;
  /** A list of 1 to `max` strings. */
  texts(path: string, value: unknown, max: number): value is string[];
  failed<T>(): Result<T>;
}

export function fieldErrors(): Fields {
  const errors: FieldError[] = [];
  const fields: Fields = {
    errors,
    bad: (path, message, value, allowed, column) => {
      errors.push({
        path,
        message,
        ...(value === undefined ? {} : { value }),
        ...(allowed === undefined ? {} : { allowed }),
        ...(column === undefined ? {} : { line: 1, column }),
      });
    },
    later: (path, name) => {
      errors.push({ path, message: `${name} is not supported yet`, code: NOT_SUPPORTED });
    },
    object: (path, value, known, later): value is Record<string, unknown> => {
      if (!isObject(value)) {
        fields.bad(path, 'must be an object', value, known);
        return false;
      }
      for (const key of Object.keys(value)) {
        if (later.includes(key)) fields.later(`${path}/${key}`, key);
        else if (!known.includes(key)) fields.bad(`${path}/${key}`, unknownField(key, known), undefined, known);
      }
      return true;
    },
    map: (path, value): value is Record<string, string> => {
      if (isObject(value) && Object.values(value).every((item) => typeof item === 'string')) return true;
      fields.bad(path, 'must be an object of strings', value);
      return false;
    },
    text: (path, value): value is string => {
      if (typeof value === 'string' && value !== '' && !/[\0\n]/.test(value) && value.length <= 4095) return true;
      fields.bad(path, 'must be a string of 1 to 4095 characters without NUL or newline', value);
      return false;
    },
    texts: (path, value, max): value is string[] => {
      if (!Array.isArray(value) || value.length === 0 || value.length > max) {
        fields.bad(path, `must be a list of 1 to ${max} strings`, value);
        return false;
      }
      return value.map((item, i) => fields.text(`${path}/${i}`, item)).every(Boolean);
    },
    failed: () => ({ ok: false, status: errors.every((error) => error.code === NOT_SUPPORTED) ? 422 : 400, errors }),
  };
  return fields;
}

const NOT_SUPPORTED = 'not-supported';

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function unknownField(key: string, known: readonly string[]): string {
  const near = known.map((name) => ({ name, distance: distance(key.toLowerCase(), name.toLowerCase()) }));
  const best = near.reduce((a, b) => (b.distance < a.distance ? b : a));
  return `unknown field "${key}"${best.distance <= Math.max(2, key.length / 3) ? `, did you mean "${best.name}"?` : ''}`;
}

/** Levenshtein. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}
