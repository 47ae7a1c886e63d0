/** `/healthz` `/readyz` `/metrics`: for whoever watches the server. */
import type { ServerContext } from '../context.ts';
import { sql } from '../database.ts';
import type { Metrics } from '../metrics.ts';
import type { Operation } from '../operation.ts';
import { ProblemError } from '../problem-error.ts';

const tag = 'Health';

export function healthOperations({ store }: ServerContext, metrics: Metrics): Operation[] {
  return [
    {
      method: 'GET',
      path: '/healthz',
      tag,
      summary: 'The process answers',
      access: 'read',
      answers: { 200: { description: '"ok"', type: 'text/plain' } },
      curl: '$P/healthz',
      run: () => text('ok\n'),
    },
    {
      method: 'GET',
      path: '/readyz',
      tag,
      summary: 'The database answers, and its migrations have run',
      access: 'read',
      answers: { 200: { description: '"ready"', type: 'text/plain' } },
      curl: '$P/readyz',
      async run() {
        const [row] = await store.db.query<{ n: number }>(sql`select n from revision`);
        if (row === undefined) throw new ProblemError('unavailable', 'The database has no revision counter');
        return text(`ready revision=${row.n}\n`);
      },
    },
    {
      method: 'GET',
      path: '/metrics',
      tag,
      summary: 'Counters for Prometheus',
      access: 'read',
      answers: { 200: { description: 'Prometheus text format', type: 'text/plain' } },
      curl: '$P/metrics',
      run: () => text(metrics.toText(), 'text/plain; version=0.0.4; charset=utf-8'),
    },
  ];
}

function text(body: string, type = 'text/plain; charset=utf-8'): Response {
  return new Response(body, { headers: { 'content-type': type } });
}
