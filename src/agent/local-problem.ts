import type { ServerResponse } from 'node:http';

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  500: 'Internal Error',
};

/** RFC 9457, as the control plane answers. */
export function sendProblem(response: ServerResponse, status: number, detail: string, hint?: string): void {
  response.writeHead(status, { 'content-type': 'application/problem+json' });
  response.end(
    JSON.stringify({
      type: 'about:blank',
      title: TITLES[status],
      status,
      detail,
      errors: [],
      ...(hint === undefined ? {} : { hint }),
    }),
  );
}
