import type { ServerResponse } from 'node:http';
import type { FieldError } from '../core/problem.ts';

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Not allowed',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Another object is in the way',
  413: 'The body is too large',
  422: 'Understood, but not possible',
  500: 'Internal Error',
};

/** RFC 9457, as the control plane answers. */
export function sendProblem(
  response: ServerResponse,
  status: number,
  detail: string,
  hint?: string,
  errors: readonly FieldError[] = [],
): void {
  response.writeHead(status, { 'content-type': 'application/problem+json' });
  response.end(
    JSON.stringify({
      type: 'about:blank',
      title: TITLES[status],
      status,
      detail,
      errors,
      ...(hint === undefined ? {} : { hint }),
    }),
  );
}
