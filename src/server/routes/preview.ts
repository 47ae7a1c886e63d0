/** `POST /v1/workloads:preview`: what a registration would match; the agents look. Changes nothing, so it is a read. */
import type { WireWorkload } from '../../api/agent-stream.ts';
import { locateErrors } from '../../api/document.ts';
import { type HostPreview, Preview, PreviewRequest } from '../../api/preview.ts';
import { selectsHost } from '../../core/host-selector.ts';
import { claimOf } from '../../core/match-claim.ts';
import { findOverlaps } from '../../core/match-overlap.ts';
import { validateWorkload } from '../../core/workload.ts';
import { answer } from '../answer.ts';
import type { Asked } from '../asks.ts';
import { DOCUMENT_TYPES, readDocument } from '../body.ts';
import type { ServerContext } from '../context.ts';
import type { Operation } from '../operation.ts';
import { ProblemError, toProblem } from '../problem-error.ts';
import { integerParameter } from '../query.ts';
import { registrations } from '../view.ts';

const EXAMPLE = { match: { systemdUnit: 'orders@*.service' } };
const TIMEOUT_MS = 5_000;

export function previewOperations(context: ServerContext): Operation[] {
  return [
    {
      method: 'POST',
      path: '/v1/workloads:preview',
      tag: 'Workloads',
      summary: 'What a registration would match on each host, before it is put, and which workload would lose what',
      access: 'read',
      query: {
        host: { description: 'Only this host' },
        timeoutMs: { description: `How long hosts are waited for, 100..30000; default ${TIMEOUT_MS}` },
      },
      body: { types: DOCUMENT_TYPES, schema: PreviewRequest, example: EXAMPLE },
      answers: { 200: { schema: Preview, description: 'Host by host; who did not answer is named' } },
      curl: `-X POST $P/v1/workloads:preview -H 'content-type: application/json' -d '${JSON.stringify(EXAMPLE)}'`,
      async run(c) {
        const document = await readDocument(c);
        const body = { labels: {}, ...(document.value as object) } as Record<string, unknown>;
        const { namespace = 'preview', name = 'preview' } = body as { namespace?: string; name?: string };
        const result = validateWorkload(namespace, name, body);
        if (!result.ok)
          throw toProblem({ ...result, errors: locateErrors(result.errors, document) }, 'the registration');
        const workload = result.value;
        if (workload.addresses !== undefined)
          throw new ProblemError('not-supported', 'addresses match no process: there is nothing to look for');
        const { store, reports, asks } = context;
        const key = `${namespace}/${name}`;
        const known = store.state.workloads.get(key);
        const wire = {
          ...workload,
          identity: known?.identity ?? 0,
          createdRevision: known?.createdRevision ?? Number.MAX_SAFE_INTEGER,
        } as WireWorkload;
        const timeoutMs = integerParameter(c, 'timeoutMs', 100, 30_000) ?? TIMEOUT_MS;
        const host = c.req.query('host');
        const all = [...new Set([...reports.all.keys(), ...asks.connected])].filter(
          (one) => host === undefined || one === host,
        );
        if (host !== undefined && all.length === 0) throw new ProblemError('not-found', `There is no host ${host}`);
        const isMeant = (one: string) => selectsHost(workload.hosts, reports.all.get(one)?.report.labels ?? {});
        const asked = await asks.ask(all.filter(isMeant), { preview: wire }, timeoutMs);
        const hosts = all.sort().map((one) => ({ host: one, ...toHostAnswer(asked.get(one)) }));
        const { grade, spoofable } = claimOf(workload.match);
        const { createdRevision } = wire;
        const registration = { ref: key, match: workload.match, priority: workload.priority, hosts: workload.hosts };
        const overlaps = findOverlaps({ ...registration, createdRevision }, registrations(store.state));
        return answer(c, { grade, spoofable, overlaps, hosts, timeoutMs });
      },
    },
  ];
}

function toHostAnswer(asked: Asked | undefined): { state: Preview['hosts'][number]['state'] } & Partial<HostPreview> {
  if (asked === undefined) return { state: 'elsewhere' };
  if (asked.state !== 'answered') return { state: asked.state };
  const { preview, problem } = asked.answer;
  return preview === undefined
    ? { state: 'failed', ...(problem !== undefined && { problem }) }
    : { state: 'answered', ...preview };
}
