/** Query parameters: known ones only, each read by a small function that refuses by name. */
import { unknownField } from '../api/check.ts';
import type { Operation, Parameter, Request } from './operation.ts';
import { ProblemError } from './problem-error.ts';

export const DRY_RUN: Parameter = { description: 'true = answer as if it were done, with `plan`, and change nothing' };
export const LIST_QUERY = {
  limit: { description: 'Most items in the answer, 1..1000; default 100', example: '100' },
  cursor: { description: '`next` of the answer before' },
} satisfies Record<string, Parameter>;
export const SELECTOR_QUERY = {
  labelSelector: { description: "Kubernetes' syntax", example: 'app in (a,b),!legacy' },
} satisfies Record<string, Parameter>;
export const WATCH_QUERY = {
  watch: { description: 'true = a stream of changes, NDJSON (or SSE with Accept: text/event-stream)' },
  revision: { description: 'Watch what comes after this revision; absent = everything first' },
} satisfies Record<string, Parameter>;

export function checkQuery(c: Request, operation: Operation): void {
  const known = Object.keys(operation.query ?? {});
  const unknown = [...new URL(c.req.url).searchParams.keys()].filter((name) => !known.includes(name));
  if (unknown.length === 0) return;
  const errors = unknown.map((name) => ({
    path: `?${name}`,
    message: unknownField(name, known).replace('field', 'parameter'),
    allowed: known,
  }));
  throw new ProblemError('unknown-parameter', errors[0]!.message, { errors });
}

export function booleanParameter(c: Request, name: string): boolean {
  const text = c.req.query(name);
  if (text === undefined || text === 'false') return false;
  if (text === 'true' || text === '') return true;
  throw badParameter(name, text, 'must be true or false', ['true', 'false']);
}

export function integerParameter(c: Request, name: string, min: number, max: number): number | undefined {
  const text = c.req.query(name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw badParameter(name, text, `must be a number, ${min}..${max}`);
}

export function badParameter(name: string, value: string, message: string, allowed?: readonly string[]): ProblemError {
  return new ProblemError('invalid', `Parameter ${name} "${value}" ${message}`, {
    errors: [{ path: `?${name}`, message, value, ...(allowed !== undefined && { allowed }) }],
  });
}
