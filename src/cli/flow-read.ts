/** Flows from /v1/flows: the newest so many, or as they happen. */
import type { Flow } from '../api/flow.ts';
import type { Client } from './client.ts';

type Query = readonly (readonly [string, string])[];

/** Most flows that the server gives at once. */
const PAGE = 1000;

export interface ReadFlows {
  /** Oldest first. */
  readonly flows: readonly Flow[];
  /** There are older ones. */
  readonly hasMore: boolean;
}

export async function readFlows(client: Client, query: Query, count: number): Promise<ReadFlows> {
  const pages: (readonly Flow[])[] = [];
  let left = count;
  let cursor: string | undefined;
  do {
    const place: Query = cursor === undefined ? [] : [['cursor', cursor]];
    const limit = String(Math.min(left, PAGE));
    const page: { items: Flow[]; next?: string } = await client.json({
      method: 'GET',
      path: '/v1/flows',
      query: [...query, ['limit', limit], ...place],
    });
    pages.unshift(page.items);
    left -= page.items.length;
    cursor = page.next;
  } while (cursor !== undefined && left > 0);
  return { flows: pages.flat(), hasMore: cursor !== undefined };
}

/** Never ends by itself. */
export async function* followFlows(client: Client, query: Query): AsyncGenerator<Flow, void, void> {
  const request = { method: 'GET', path: '/v1/flows', query: [...query, ['follow', 'true']], follow: true } as const;
  for await (const line of client.lines(request)) yield JSON.parse(line) as Flow;
}
