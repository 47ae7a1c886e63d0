/** What an agent calls: desired state down, flows and reports up. */
import * as v from 'valibot';
import { Delta, Snapshot } from '../../api/agent-stream.ts';
import { check } from '../../api/check.ts';
import { Flow } from '../../api/flow.ts';
import { HostReport } from '../../api/host.ts';
import { HostIdentities, HostWorkloads } from '../../api/host-workload.ts';
import { HostName } from '../../api/name.ts';
import { AgentAnswer } from '../../api/preview.ts';
import { agentStream } from '../agent-stream.ts';
import { answer } from '../answer.ts';
import { APPLY_BYTES, readBody, readDocuments } from '../body.ts';
import type { ServerContext } from '../context.ts';
import { readFlowBatch } from '../flow-batch.ts';
import { putHostWorkloads } from '../host-workloads.ts';
import type { Operation } from '../operation.ts';
import { unwrap } from '../problem-error.ts';

const tag = 'Agents';
/** A batch of flows: about 8,000 of them. */
const FLOW_BYTES = 8 * 1024 * 1024;

export function agentOperations(context: ServerContext): Operation[] {
  return [
    {
      method: 'GET',
      path: '/v1/agent/stream',
      tag,
      summary: 'Desired state: a snapshot, or what changed since a revision, and then each change as it commits',
      access: 'agent',
      query: {
        host: { description: 'Name of the host' },
        uid: { description: 'Control plane whose state the agent holds' },
        revision: { description: 'Revision that the agent holds' },
      },
      answers: {
        200: { schema: v.union([Snapshot, Delta]), description: 'NDJSON', type: 'application/x-ndjson' },
      },
      curl: '-N --unix-socket /run/postern/server.sock "http://localhost/v1/agent/stream?host=web-1"',
      run: (c) => agentStream(c, context),
    },
    {
      method: 'POST',
      path: '/v1/agent/flows',
      tag,
      summary: 'A batch of flows: a header line {host, lost?}, then one flow per line',
      access: 'agent',
      body: { types: ['application/x-ndjson'], schema: Flow },
      answers: { 202: { description: 'Taken; `lost` of them could not be kept' } },
      async run(c) {
        const batch = readFlowBatch(await readBody(c.env.incoming, FLOW_BYTES));
        return answer(c, context.flows.take(batch), 202);
      },
    },
    {
      method: 'POST',
      path: '/v1/agent/answers/:id',
      tag,
      summary: 'An answer to a question (a line of type "ask") of the stream',
      access: 'agent',
      body: { types: ['application/json'], schema: AgentAnswer },
      answers: { 202: { description: 'Taken, or too late' } },
      async run(c) {
        const [document] = await readDocuments(c, APPLY_BYTES);
        const said = unwrap(check(AgentAnswer, document?.value), 'the answer');
        return answer(c, { waited: context.asks.answer(c.req.param('id')!, said) }, 202);
      },
    },
    {
      method: 'PUT',
      path: '/v1/agent/hosts/:name/workloads',
      tag,
      summary: 'All that the files of a host register (workloads.d); the answer has the identity of each',
      access: 'agent',
      body: { types: ['application/json'], schema: HostWorkloads },
      answers: { 200: { schema: HostIdentities, description: 'Taken, all or nothing' } },
      async run(c) {
        const host = unwrap(check(HostName, c.req.param('name')), 'the host name');
        const [document] = await readDocuments(c, APPLY_BYTES);
        const { workloads } = unwrap(check(HostWorkloads, document?.value), `the workloads of ${host}`);
        return answer(c, await putHostWorkloads(context, host, workloads, c.get('actor')));
      },
    },
    {
      method: 'PUT',
      path: '/v1/agent/hosts/:name/report',
      tag,
      summary: 'What a host has, runs and sees; the latest is kept',
      access: 'agent',
      body: { types: ['application/json'], schema: HostReport },
      answers: { 204: { description: 'Taken' } },
      async run(c) {
        const name = unwrap(check(HostName, c.req.param('name')), 'the host name');
        const [document] = await readDocuments(c, APPLY_BYTES);
        await context.reports.put(name, unwrap(check(HostReport, document?.value), `the report of ${name}`));
        return new Response(null, { status: 204 });
      },
    },
  ];
}
