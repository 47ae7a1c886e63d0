/** `?watch=true` on what hosts report: first all there is, then what differs from one report to the next. */
import type { ServerContext } from './context.ts';
import type { Request } from './operation.ts';
import type { SeenReport } from './reports.ts';
import { STREAMING } from './stream.ts';

const BOOKMARK_MS = 10_000;

export function watchReports(
  c: Request,
  { reports, store, streams }: ServerContext,
  objectsOf: (seen: SeenReport) => readonly (readonly [string, unknown])[],
): Response {
  /** Id → what was last sent of it. */
  const sent = new Map<string, string>();
  const stream = streams.start(c, {
    everyMs: BOOKMARK_MS,
    tick: () => send('BOOKMARK'),
  });
  const send = (type: string, object?: string) => {
    stream.write(
      `{"type":"${type}","revision":${store.state.revision}${object === undefined ? '' : `,"object":${object}`}}`,
    );
  };
  const show = (now: SeenReport, before: SeenReport | undefined) => {
    const objects = new Map(objectsOf(now));
    for (const [id, object] of objects) {
      const text = JSON.stringify(object);
      const known = sent.get(id);
      if (known === text) continue;
      send(known === undefined ? 'ADDED' : 'MODIFIED', text);
      sent.set(id, text);
    }
    for (const [id, object] of before === undefined ? [] : objectsOf(before)) {
      if (objects.has(id) || !sent.delete(id)) continue;
      send('DELETED', JSON.stringify(object));
    }
  };
  for (const seen of reports.all.values()) show(seen, undefined);
  send('BOOKMARK');
  stream.onClose(reports.listen((now, before) => now !== undefined && show(now, before)));
  return STREAMING;
}
