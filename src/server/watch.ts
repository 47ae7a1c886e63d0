/**
 * `?watch=true`: a collection's changes, each once and in order, from a revision on. What has happened since then comes
 * from the change log, what happens meanwhile waits until that has been sent.
 */
import type { WatchEvent } from '../api/list.ts';
import { readRevisions } from './change-log.ts';
import type { ServerContext } from './context.ts';
import type { Request } from './operation.ts';
import { ProblemError } from './problem-error.ts';
import { integerParameter } from './query.ts';
import type { Change, Collection, Revision, State, StoredOf } from './state.ts';
import { STREAMING } from './stream.ts';

const BOOKMARK_MS = 10_000;

export interface Watched<C extends Collection> {
  readonly collection: C;
  readonly isWanted: (object: StoredOf[C]) => boolean;
  readonly toObject: (object: StoredOf[C], state: State) => unknown;
}

export async function watch<C extends Collection>(c: Request, context: ServerContext, watched: Watched<C>) {
  const { store, streams } = context;
  const from = integerParameter(c, 'revision', 0, Number.MAX_SAFE_INTEGER);
  const waiting: [Revision, State][] = [];
  let take = (revision: Revision, state: State): void => {
    waiting.push([revision, state]);
  };
  const start = store.state;
  const stop = store.listen((revision, state) => take(revision, state));
  try {
    const missed = from === undefined ? [] : await missedSince(context, from, start.revision);
    let sent = Math.max(from ?? start.revision, start.revision);
    let caughtUp = false;
    const stream = streams.start(c, {
      everyMs: BOOKMARK_MS,
      // Not before everything up to then has been sent.
      tick: () => caughtUp && send({ type: 'BOOKMARK', revision: sent }),
    });
    stream.onClose(stop);
    const send = (event: WatchEvent) => stream.write(JSON.stringify(event), event.revision);
    const sendRevision = (revision: Revision, state: State) => {
      // The log was left behind: what happened in between is not known.
      if (revision.changes.length === 0) return stream.end();
      for (const event of toEvents(revision, state, watched)) send(event);
      sent = revision.revision;
    };
    if (from === undefined) {
      for (const object of start[watched.collection].values() as Iterable<StoredOf[C]>) {
        if (!isShown(object) || !watched.isWanted(object)) continue;
        send({ type: 'ADDED', revision: start.revision, object: watched.toObject(object, start) });
        await stream.ready();
      }
      send({ type: 'BOOKMARK', revision: start.revision });
    }
    for (const revision of missed) {
      sendRevision(revision, start);
      await stream.ready();
    }
    caughtUp = true;
    take = (revision, state) => {
      if (revision.revision > sent) sendRevision(revision, state);
    };
    for (const [revision, state] of waiting) take(revision, state);
    return STREAMING;
  } catch (error) {
    stop();
    throw error;
  }
}

async function missedSince({ store }: ServerContext, from: number, upTo: number): Promise<Revision[]> {
  if (from > upTo) {
    throw new ProblemError(
      'gone',
      `Revision ${from} is not there yet, the newest is ${upTo}: list again, and watch from there`,
    );
  }
  const missed = await readRevisions(store.db, from, upTo);
  if (missed !== undefined) return missed;
  throw new ProblemError('gone', `Revision ${from} is too old, its changes are gone: list again, and watch from there`);
}

/** A change into or out of what is wanted (a label added, a label removed) is an arrival or a departure. */
function toEvents<C extends Collection>(revision: Revision, state: State, watched: Watched<C>): WatchEvent[] {
  const events: WatchEvent[] = [];
  for (const change of revision.changes) {
    if (change.collection !== watched.collection) continue;
    const { type, object, before } = change as Change & { object: StoredOf[C]; before?: StoredOf[C] };
    const wasWanted = before !== undefined && watched.isWanted(before);
    const isWanted = watched.isWanted(object);
    const seen =
      type === 'MODIFIED' && before !== undefined && wasWanted !== isWanted ? (isWanted ? 'ADDED' : 'DELETED') : type;
    if (!isWanted && seen !== 'DELETED') continue;
    if (!isWanted && !wasWanted) continue;
    events.push({ type: seen, revision: revision.revision, object: watched.toObject(object, state) });
  }
  return events;
}

function isShown(object: object): boolean {
  return !('unusedSince' in object) || object.unusedSince === undefined;
}
