/** Desired state on its way to an agent. One buffer per revision, however many agents there are. */
import type { Delta, Snapshot, WireIdentity, WirePolicy, WireWorkload } from '../api/agent-stream.ts';
import { readRevisions } from './change-log.ts';
import type { ServerContext } from './context.ts';
import type { Request } from './operation.ts';
import { CLUSTER_NAME } from './plan.ts';
import { integerParameter } from './query.ts';
import type { Collection, Revision, State, StoredIdentity, StoredOf, StoredPolicy, StoredWorkload } from './state.ts';
import { STREAMING } from './stream.ts';
import { namespaceLabels } from './view.ts';

const BOOKMARK_MS = 10_000;

export async function agentStream(c: Request, { store, streams, asks }: ServerContext): Promise<Response> {
  const host = c.req.query('host');
  const uid = c.req.query('uid');
  const held = integerParameter(c, 'revision', 0, Number.MAX_SAFE_INTEGER);
  const waiting: Revision[] = [];
  let take = (revision: Revision): void => {
    waiting.push(revision);
  };
  const start = store.state;
  const stop = store.listen((revision) => take(revision));
  try {
    const resumes = uid === start.uid && held !== undefined && held <= start.revision;
    const missed = resumes ? await readRevisions(store.db, held, start.revision) : undefined;
    let sent = start.revision;
    let caughtUp = false;
    const stream = streams.start(c, {
      everyMs: BOOKMARK_MS,
      tick: () => caughtUp && stream.write(JSON.stringify({ type: 'bookmark', revision: sent })),
    });
    stream.onClose(stop);
    if (host !== undefined) stream.onClose(asks.connect(host, (line) => stream.write(line)));
    if (missed === undefined) stream.write(JSON.stringify(toSnapshot(start)));
    for (const revision of missed ?? []) {
      stream.write(toLine(revision));
      await stream.ready();
    }
    // An agent that missed nothing is told so at once: it reports itself connected by the first line that it hears.
    if (missed?.length === 0) stream.write(JSON.stringify({ type: 'bookmark', revision: sent }));
    caughtUp = true;
    take = (revision) => {
      if (revision.revision <= sent) return;
      // The server lost the thread of the change log: the agent comes again and gets a snapshot.
      if (revision.changes.length === 0) return stream.end();
      stream.write(toLine(revision));
      sent = revision.revision;
    };
    for (const revision of waiting) take(revision);
    return STREAMING;
  } catch (error) {
    stop();
    throw error;
  }
}

const lines = new WeakMap<Revision, Buffer>();

function toLine(revision: Revision): Buffer {
  let line = lines.get(revision);
  if (line === undefined) {
    line = Buffer.from(`${JSON.stringify(toDelta(revision))}\n`);
    lines.set(revision, line);
  }
  return line;
}

export function toSnapshot(state: State): Snapshot {
  return {
    type: 'snapshot',
    uid: state.uid,
    revision: state.revision,
    clusterName: CLUSTER_NAME,
    workloads: [...state.workloads.values()].map(toWireWorkload),
    policies: [...state.policies.values()].map(toWirePolicy),
    namespaces: Object.fromEntries(
      [...state.namespaces.values()].map(({ name, labels }) => [name, namespaceLabels(name, labels)]),
    ),
    identities: [...state.identities.values()].filter(({ workloads }) => workloads.length > 0).map(toWireIdentity),
  };
}

export function toDelta({ revision, changes }: Revision): Delta {
  const put = <C extends Collection>(collection: C) =>
    changes
      .filter((change) => change.collection === collection && change.type !== 'DELETED')
      .map((change) => change.object as StoredOf[C]);
  const gone = (collection: Collection) =>
    changes.filter((change) => change.collection === collection && change.type === 'DELETED').map(({ key }) => key);
  return {
    type: 'delta',
    revision,
    put: withoutEmpty({
      workloads: put('workloads').map(toWireWorkload),
      policies: put('policies').map(toWirePolicy),
      namespaces: Object.fromEntries(
        put('namespaces').map(({ name, labels }) => [name, namespaceLabels(name, labels)]),
      ),
      identities: put('identities').map(toWireIdentity),
    }),
    delete: withoutEmpty({
      workloads: gone('workloads'),
      policies: gone('policies'),
      namespaces: gone('namespaces'),
      identities: gone('identities').map(Number),
    }),
  };
}

function withoutEmpty<T extends object>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => Object.keys(value).length > 0)) as Partial<T>;
}

function toWireWorkload({ namespace, name, spec, identity, createdRevision }: StoredWorkload): WireWorkload {
  return { namespace, name, ...spec, identity, createdRevision };
}

function toWirePolicy({ kind, namespace, name, document }: StoredPolicy): WirePolicy {
  return { kind, ...(namespace !== undefined && { namespace }), name, document };
}

function toWireIdentity({ id, labels, ports, mode }: StoredIdentity): WireIdentity {
  return { id, labels: [...labels], ...(ports !== undefined && { ports }), ...(mode !== undefined && { mode }) };
}
