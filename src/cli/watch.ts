/** `--watch`: the list as it is, then each change as it comes; lists anew when the server has forgotten the revision. */
import { setTimeout as wait } from 'node:timers/promises';
import type { ListOf, WatchEvent } from '../api/list.ts';
import type { Client } from './client.ts';
import { Failure } from './failure.ts';

/** All pages of a collection. `revision` is where a watch of it begins. */
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

/** Never ends by itself; throws Failure 3 when the server goes away. */
export async function watch<T>(
  client: Client,
  path: string,
  query: readonly (readonly [string, string])[],
  seen: { onList: (items: T[]) => Promise<void>; onEvent: (event: WatchEvent & { object: T }) => Promise<void> },
): Promise<never> {
  for (;;) {
    const { items, revision } = await listAll<T>(client, path, query);
    await seen.onList(items);
    const watchQuery = [...query, ['watch', 'true'] as const, ['revision', String(revision)] as const];
    try {
      for await (const line of client.lines({ method: 'GET', path, query: watchQuery, follow: true })) {
        const event = JSON.parse(line) as WatchEvent;
        if (event.type !== 'BOOKMARK') await seen.onEvent(event as WatchEvent & { object: T });
      }
    } catch (error) {
      if (!(error instanceof Failure) || error.status !== 410) throw error;
    }
    // The server ended it (it left this reader behind, or it stops): the list says which.
    await wait(1000);
  }
}
