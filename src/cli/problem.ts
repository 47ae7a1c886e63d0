/** An answer that is no success, as a Failure: problem+json (RFC 9457) in words, with the exit code of its status. */
import type { FieldError } from '../core/problem.ts';
import type { Answer, Request } from './client.ts';
import { type Exit, Failure } from './failure.ts';

interface Problem {
  readonly title?: string;
  readonly status?: number;
  readonly detail?: string;
  readonly code?: string;
  readonly requestId?: string;
  readonly errors?: readonly FieldError[];
  readonly hint?: string;
}

/** `place` turns the path of an error into what the user calls it (a file and a line). */
export function problemFailure(
  answer: Answer,
  request: Pick<Request, 'method' | 'path'>,
  place?: (error: FieldError) => string | undefined,
): Failure {
  const problem = readProblem(answer);
  const text = problem?.detail ?? problem?.title;
  const errors = (problem?.errors ?? []).filter(
    (error) => !(error.path.startsWith('?') && text?.includes(error.message)),
  );
  const details = errors.map((error) => `  ${fieldErrorText(error, place)}`);
  const hint = hintOf(problem, request);
  if (hint) details.push(`hint: ${hint}`);
  const retry = answer.headers['retry-after'];
  if (typeof retry === 'string') details.push(`hint: try again in ${retry} s`);
  if (answer.status >= 500 && problem?.requestId) details.push(`request id: ${problem.requestId}`);
  if (!problem && answer.text.trim() !== '') details.push(`  ${answer.text.trim().slice(0, 500)}`);
  return new Failure(
    toExit(answer.status),
    headline(text, errors[0]) ?? silent(answer, request),
    details,
    answer.status,
  );
}

/** The detail, without the first error when it repeats it: that one follows on a line of its own. */
function headline(text: string | undefined, error: FieldError | undefined): string | undefined {
  if (!text || !error) return text;
  const repeated = text.indexOf(`: ${error.path === '' ? '' : `${error.path} `}${error.message}`);
  return repeated > 0 ? text.slice(0, repeated) : text;
}

function silent(answer: Answer, request: Pick<Request, 'method' | 'path'>): string {
  return `the server answered ${answer.status} to ${request.method} ${request.path}`;
}

/** The server hints in curl; where this program has the same, it says so in its own words. */
function hintOf(problem: Problem | undefined, { path }: Pick<Request, 'path'>): string | undefined {
  if (problem?.code === 'read-only') return "run it as root (sudo), or as the server's own user";
  const [, noun] = /^\/v1\/(\w+)\/./.exec(path) ?? [];
  if (problem?.code === 'not-found' && noun) return `postern get ${noun}`;
  return problem?.hint;
}

/** `/match/0/process/args "[": message (allowed: a, b)` */
export function fieldErrorText(error: FieldError, place?: (error: FieldError) => string | undefined): string {
  const at =
    error.line === undefined ? '' : `line ${error.line}${error.column === undefined ? '' : `:${error.column}`} `;
  const { document } = error as { document?: string };
  const field = error.path === '' ? '(the whole body)' : error.path;
  const where = place?.(error) ?? `${at}${document ? `${document} ` : ''}${field}`;
  const value = error.value === undefined ? '' : ` ${shorten(JSON.stringify(error.value))}`;
  const known = error.allowed?.filter((word) => !error.message.includes(word)) ?? [];
  const allowed = known.length > 0 ? ` (allowed: ${error.allowed!.join(', ')})` : '';
  return `${where}${value}: ${error.message}${allowed}`;
}

/** 401 and 403 are "not allowed"; the server's own trouble (5xx, 429) is "no usable answer"; all else is the input. */
export function toExit(status: number): Exit {
  if (status === 401 || status === 403) return 4;
  if (status >= 500 || status === 429 || status < 400) return 3;
  return 2;
}

function readProblem(answer: Answer): Problem | undefined {
  try {
    const body: unknown = JSON.parse(answer.text);
    return typeof body === 'object' && body !== null && ('title' in body || 'detail' in body)
      ? (body as Problem)
      : undefined;
  } catch {
    return undefined;
  }
}

function shorten(text: string | undefined): string {
  if (text === undefined) return '';
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}
