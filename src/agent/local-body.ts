import type { IncomingMessage } from 'node:http';
import { check } from '../api/check.ts';
import type { FieldError } from '../core/problem.ts';

const MAX_BYTES = 64 * 1024;

type Schema = Parameters<typeof check>[0];

/** Why a request of the agent's own API is refused. */
export class LocalProblem extends Error {
  readonly status: number;
  readonly hint: string | undefined;
  readonly errors: readonly FieldError[];

  constructor(status: number, message: string, hint?: string, errors: readonly FieldError[] = []) {
    super(message);
    this.status = status;
    this.hint = hint;
    this.errors = errors;
  }
}

/** The JSON body, held against the schema. Throws LocalProblem 400 or 413. */
export async function readLocalBody<T>(request: IncomingMessage, schema: Schema): Promise<T> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BYTES) throw new LocalProblem(413, `The body is larger than ${MAX_BYTES / 1024} KiB`);
    chunks.push(chunk);
  }
  let value: unknown;
  try {
    value = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (error) {
    throw new LocalProblem(400, `The body is not JSON: ${(error as Error).message}`);
  }
  const result = check(schema, value);
  if (result.ok) return result.value as T;
  throw new LocalProblem(400, 'Cannot accept the body', undefined, result.errors);
}
