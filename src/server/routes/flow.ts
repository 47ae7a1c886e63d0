/** `/v1/flows`: what happened? Stored flows page by page, or live. */
import * as v from 'valibot';
import { object } from '../../api/check.ts';
import { Flow } from '../../api/flow.ts';
import { answer, MAX_LIMIT, readCursor, toCursor } from '../answer.ts';
import type { ServerContext } from '../context.ts';
import { FLOW_FILTERS, parseFlowFilter } from '../flow-filter.ts';
import { flowWriter } from '../flow-hub.ts';
import type { FlowPosition } from '../flow-store.ts';
import type { Operation, Request } from '../operation.ts';
import { badParameter, booleanParameter, integerParameter } from '../query.ts';
import { STREAMING } from '../stream.ts';

const FlowPage = object({ items: v.array(Flow), next: v.optional(v.string()) });

export function flowOperations(context: ServerContext): Operation[] {
  return [
    {
      method: 'GET',
      path: '/v1/flows',
      tag: 'Flows',
      summary:
        'Flows, oldest first; the first page is the newest. NDJSON with Accept: application/x-ndjson or follow=true',
      access: 'read',
      query: {
        ...FLOW_FILTERS,
        follow: { description: 'true = a stream of flows as they happen' },
        last: { description: 'The newest so many; with follow before what comes, default 0', example: '20' },
        limit: { description: 'Most flows in the answer, 1..1000; default 100' },
        cursor: { description: '`next` of the answer before: the page of older flows' },
      },
      answers: { 200: { schema: FlowPage, description: 'One page, or a stream' } },
      curl: '-N "$P/v1/flows?verdict=DROPPED&follow=true"',
      run: (c) => (booleanParameter(c, 'follow') ? follow(c, context) : list(c, context)),
    },
  ];
}

async function list(c: Request, { flows }: ServerContext): Promise<Response> {
  const filter = parseFlowFilter(c.req.query(), new Date());
  const limit = integerParameter(c, 'last', 1, MAX_LIMIT) ?? integerParameter(c, 'limit', 1, MAX_LIMIT) ?? 100;
  const before = readPosition(c);
  const page = await flows.read(filter, limit, before === undefined ? {} : { before });
  if ((c.req.header('accept') ?? '').includes('ndjson')) {
    const lines = page.flows.map((flow) => `${JSON.stringify(flow)}\n`).join('');
    return new Response(lines, { headers: { 'content-type': 'application/x-ndjson' } });
  }
  const next = page.next === undefined ? undefined : toCursor(`${page.next.us}.${page.next.id}`);
  return answer(c, { items: page.flows, ...(next !== undefined && { next }) });
}

const HEARTBEAT_MS = 15_000;

/** What is stored (`last`, `since`), then what comes: no flow twice, none left out between. */
async function follow(c: Request, { flows, streams }: ServerContext): Promise<Response> {
  const filter = parseFlowFilter(c.req.query(), new Date());
  const last = integerParameter(c, 'last', 0, MAX_LIMIT) ?? (filter.since === undefined ? 0 : MAX_LIMIT);
  const newest = flows.newestId;
  const meanwhile: [Flow, string][] = [];
  let take = (flow: Flow, json: string): void => {
    meanwhile.push([flow, json]);
  };
  const stop = flows.hub.listen((flow, json) => filter.matches(flow) && take(flow, json));
  try {
    const page = last === 0 ? undefined : await flows.read(filter, last, { upTo: newest });
    // An empty line: whoever reads NDJSON skips it, and a connection that is gone shows.
    const stream = streams.start(c, { everyMs: HEARTBEAT_MS, tick: () => stream.beat() });
    stream.onClose(stop);
    for (const flow of page?.flows ?? []) stream.write(JSON.stringify(flow));
    take = flowWriter(stream);
    for (const [flow, json] of meanwhile) take(flow, json);
    return STREAMING;
  } catch (error) {
    stop();
    throw error;
  }
}

function readPosition(c: Request): FlowPosition | undefined {
  const cursor = readCursor(c);
  if (cursor === undefined) return undefined;
  const match = /^(\d+)\.(\d+)$/.exec(cursor);
  if (match === null)
    throw badParameter('cursor', c.req.query('cursor') ?? '', 'must be the `next` of an earlier answer');
  return { us: Number(match[1]), id: Number(match[2]) };
}
