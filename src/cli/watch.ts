/** A collection: all of its pages, or (`--watch`) all of it and then each change. */
import { setTimeout as wait } from 'node:timers/promises';
import type { ListOf, WatchEvent } from '../api/list.ts';
import type { Client } from './client.ts';

/** All pages of a collection. */
export async function listAll<T>(
  client: Client,
  path: string,
  query: readonly (readonly [string, string])[],
): Promise<ListOf<T>> {
  const items: T[] = [];
  let cursor: string | undefined;
  let revision = 0;
  do {
    const page = cursor === undefined ? [] : [['cursor', cursor] as const];
    const answer = await client.json<ListOf<T>>({ method: 'GET', path, query: [...query, ['limit', '1000'], ...page] });
    items.push(...answer.items);
    if (cursor === undefined) revision = answer.revision;
    cursor = answer.next;
  } while (cursor !== undefined);
  return { items, revision };
}

/**
 * First everything there is, in one piece, then each change. Begins anew when the server ends the stream (it stops, or it
 * has left this reader behind): Failure 3 then says whether it is gone.
 */
export async function watch<T>(
  client: Client,
  path: string,
  query: readonly (readonly [string, string])[],
  seen: { onList: (items: T[]) => Promise<void>; onEvent: (event: WatchEvent & { object: T }) => Promise<void> },
): Promise<never> {
  for (;;) {
    const request = { method: 'GET', path, query: [...query, ['watch', 'true']], follow: true } as const;
    let first: T[] | undefined = [];
    for await (const line of client.lines(request)) {
      const event = JSON.parse(line) as WatchEvent & { object: T };
      if (event.type !== 'BOOKMARK') {
        if (first === undefined) await seen.onEvent(event);
        else first.push(event.object);
      } else if (first !== undefined) {
        await seen.onList(first);
        first = undefined;
      }
    }
    await wait(1000);
  }
}
