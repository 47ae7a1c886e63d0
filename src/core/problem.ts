/** What is wrong with an input, as a value: one entry per field. `path` is a JSON pointer (RFC 6901). */
export interface FieldError {
  readonly path: string;
  readonly message: string;
  readonly value?: unknown;
  readonly allowed?: readonly string[];
  readonly line?: number;
  readonly column?: number;
  readonly code?: string;
}

/** 400 = malformed; 409 = clash; 413 = too large; 422 = understood, but not supported or not possible. */
export type ProblemStatus = 400 | 409 | 413 | 422;

export type Result<T> =
  | { readonly ok: true; readonly value: T; readonly warnings?: readonly string[] }
  | {
      readonly ok: false;
      readonly errors: readonly FieldError[];
      readonly status?: ProblemStatus;
      readonly code?: string;
    };
