/** A request that cannot be done, on its way to the client. Turned into `application/problem+json` in one place (app.ts). */
import { PROBLEMS, type ProblemCode } from '../api/problem.ts';
import type { FieldError, Result } from '../core/problem.ts';

export interface ProblemDetails {
  readonly errors?: readonly FieldError[];
  /** A command that would help. */
  readonly hint?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export class ProblemError extends Error {
  override readonly name = 'ProblemError';
  readonly code: ProblemCode;
  readonly status: number;
  readonly details: ProblemDetails;

  constructor(code: ProblemCode, detail: string, details: ProblemDetails = {}) {
    super(detail);
    this.code = code;
    this.status = PROBLEMS[code][0];
    this.details = details;
  }
}

/** The value of a result, or its errors as a problem. `subject` is what the errors are about: `workload shop/a`. */
export function unwrap<T>(result: Result<T>, subject: string, hint?: string): T {
  if (result.ok) return result.value;
  throw toProblem(result, subject, hint);
}

export function toProblem(
  failure: Extract<Result<never>, { ok: false }>,
  subject: string,
  hint?: string,
): ProblemError {
  const code = codeOf(failure);
  const first = failure.errors[0];
  const where = first === undefined || first.path === '' ? '' : `${first.path} `;
  const line = first?.line === undefined ? '' : ` (line ${first.line}, column ${first.column ?? 1})`;
  const more = failure.errors.length > 1 ? `, and ${failure.errors.length - 1} more` : '';
  const detail = `Cannot accept ${subject}: ${where}${first?.message ?? 'not valid'}${line}${more}`;
  return new ProblemError(code, detail, { errors: failure.errors, ...(hint !== undefined && { hint }) });
}

function codeOf({ code, status }: Extract<Result<never>, { ok: false }>): ProblemCode {
  if (code !== undefined && code in PROBLEMS) return code as ProblemCode;
  if (status === 409) return 'conflict';
  if (status === 413) return 'too-large';
  return status === 422 ? 'not-supported' : 'invalid';
}
