/** The desired state in SQL: loading it, writing a revision, reading the change log. Sets, not rows: one statement each. */
import type { Meta } from '../api/meta.ts';
import type { WorkloadSpec } from '../api/workload.ts';
import { parsePolicy } from '../core/policy.ts';
import { type Queries, sql } from './database.ts';
import { membersOf } from './derived-identity.ts';
import type { Draft } from './draft.ts';
import { REUSE_AFTER_MS } from './identity-allocation.ts';
import { strictest } from './identity-mode.ts';
import { hashText } from './plan.ts';
import {
  type Change,
  policyKey,
  rememberPolicy,
  type State,
  type StoredHostWorkload,
  type StoredIdentity,
  type StoredNamespace,
  type StoredPolicy,
  type StoredWorkload,
} from './state.ts';

interface ObjectRow {
  readonly uid: string;
  readonly created_revision: number;
  readonly revision: number;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly updated_by: string;
}

export async function loadState(db: Queries): Promise<State> {
  const [head] = await db.query<{ n: number; uid: string }>(
    sql`select n, (select value #>> '{}' from settings where key = 'uid') as uid from revision`,
  );
  const namespaces = new Map<string, StoredNamespace>();
  for (const row of await db.query<
    ObjectRow & { name: string; labels: Record<string, string> } & Record<string, unknown>
  >(sql`select * from namespaces order by name`)) {
    const { name, labels } = row;
    namespaces.set(name, { name, labels, meta: toMeta(row), createdRevision: row.created_revision });
  }
  const workloads = new Map<string, StoredWorkload>();
  for (const row of await db.query<
    ObjectRow & { namespace: string; name: string; spec: WorkloadSpec; identity: number } & Record<string, unknown>
  >(sql`select * from workloads order by namespace, name`)) {
    const { namespace, name, spec, identity } = row;
    const stored = { namespace, name, spec, identity, meta: toMeta(row), createdRevision: row.created_revision };
    workloads.set(`${namespace}/${name}`, stored);
  }
  const hostWorkloads = new Map<string, StoredHostWorkload>();
  for (const row of await db.query<ObjectRow & StoredHostWorkload & Record<string, unknown>>(
    sql`select * from host_workloads order by namespace, name, host`,
  )) {
    const { host, file, namespace, name, spec, identity } = row;
    const stored = { host, file, namespace, name, spec, identity, meta: toMeta(row) };
    hostWorkloads.set(`${namespace}/${name}@${host}`, { ...stored, createdRevision: row.created_revision });
  }
  const policies = new Map<string, StoredPolicy>();
  for (const row of await db.query<ObjectRow & PolicyRow & Record<string, unknown>>(
    sql`select * from policies order by kind, namespace, name`,
  )) {
    const { kind, name, document } = row;
    const namespace = row.namespace === '' ? undefined : row.namespace;
    readPolicy(document);
    policies.set(policyKey(kind, namespace, name), {
      kind,
      ...(namespace !== undefined && { namespace }),
      name,
      document,
      textHash: hashText(row.text),
      meta: toMeta(row),
      createdRevision: row.created_revision,
    });
  }
  return {
    uid: head!.uid,
    revision: head!.n,
    namespaces,
    workloads,
    hostWorkloads,
    policies,
    identities: await loadIdentities(db, new Map([...workloads, ...hostWorkloads])),
  };
}

interface PolicyRow {
  readonly kind: StoredPolicy['kind'];
  readonly namespace: string;
  readonly name: string;
  readonly document: Readonly<Record<string, unknown>>;
  readonly text: string;
}

async function loadIdentities(db: Queries, workloads: ReadonlyMap<string, StoredWorkload>) {
  const members = Map.groupBy(workloads, ([, workload]) => workload.identity);
  const identities = new Map<string, StoredIdentity>();
  const rows = await db.query<{ id: number; labels: string; unused_since: Date | null }>(
    sql`select * from identities order by id`,
  );
  const byLabels = new Map(
    rows.map(({ id, labels }) => [(JSON.parse(labels) as string[]).join('\n'), members.get(id) ?? []]),
  );
  for (const row of rows) {
    const labels = JSON.parse(row.labels) as string[];
    const having = members.get(row.id) ?? (row.unused_since === null ? membersOf(labels, byLabels) : []);
    const ports = Object.assign({}, ...having.map(([, workload]) => workload.spec.ports ?? {})) as Record<
      string,
      string
    >;
    const mode = strictest(having.map(([, workload]) => workload.spec.mode));
    identities.set(String(row.id), {
      id: row.id,
      labels,
      workloads: having.map(([key]) => key).sort(),
      ...(Object.keys(ports).length > 0 && { ports }),
      ...(mode !== undefined && { mode }),
      ...(having.length === 0 && { unusedSince: (row.unused_since ?? new Date(0)).toISOString() }),
    });
  }
  return identities;
}

/** A stored document was accepted once; one that a newer version refuses stays, does nothing, and says so in status. */
export function readPolicy(document: Readonly<Record<string, unknown>>): void {
  const result = parsePolicy(document);
  if (result.ok) rememberPolicy(document, result.value);
}

function toMeta(row: ObjectRow): Meta {
  return {
    uid: row.uid,
    revision: row.revision,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
    updatedBy: row.updated_by,
  };
}

/** Locks the revision counter until the transaction ends, and takes the next number. */
export async function takeRevision(tx: Queries): Promise<number> {
  const [row] = await tx.query<{ n: number }>(sql`update revision set n = n + 1 returning n`);
  return row!.n;
}

/** @param texts `collection key` of a policy → its text and format */
export async function writeDraft(tx: Queries, draft: Draft, texts: ReadonlyMap<string, PolicyText>): Promise<void> {
  const { revision, now, actor } = draft.author;
  const changes = draft.changes;
  for (const collection of ['namespaces', 'identities', 'workloads', 'hostWorkloads', 'policies'] as const) {
    const touched = changes.filter((change) => change.collection === collection);
    if (touched.length > 0) await WRITERS[collection](tx, touched as never, texts);
  }
  await tx.query(sql`insert into changes (revision, seq, collection, key, type, object, at)
    select ${revision}, seq, collection, key, type, object, ${now}::timestamptz
    from json_to_recordset(${json(changes.map((change, seq) => ({ ...change, seq })))}::json)
      as r (seq int, collection text, key text, type text, object json)`);
  const audited = changes.filter((change) => change.collection !== 'identities');
  const entries = audited.map(({ collection, key, type, object, before }, seq) => ({
    seq,
    ...(collection === 'policies' && type !== 'DELETED' && texts.get(key)),
    collection,
    key,
    action: type === 'ADDED' ? 'create' : type === 'DELETED' ? 'delete' : 'update',
    before: withoutMeta(before),
    after: type === 'DELETED' ? undefined : withoutMeta(object),
  }));
  await tx.query(sql`insert into audit (revision, seq, at, actor, collection, key, action, before, after, text, format)
    select ${revision}, seq, ${now}::timestamptz, ${actor}, collection, key, action, before, after, text, format
    from json_to_recordset(${json(entries)}::json)
      as r (seq int, collection text, key text, action text, before json, after json, text text, format text)`);
  await tx.query(sql`select pg_notify('postern', ${String(revision)})`);
}

export interface PolicyText {
  readonly text: string;
  readonly format: 'json' | 'yaml';
}

type Writer<C extends Change['collection']> = (
  tx: Queries,
  changes: readonly Extract<Change, { collection: C }>[],
  texts: ReadonlyMap<string, PolicyText>,
) => Promise<void>;

const META_COLUMNS = sql`uid uuid, "createdRevision" bigint, revision bigint, "createdAt" timestamptz, "updatedAt" timestamptz, "updatedBy" text`;

const WRITERS: { [C in Change['collection']]: Writer<C> } = {
  async namespaces(tx, changes) {
    const puts = changes.filter((change) => change.type !== 'DELETED').map(({ object }) => flat(object));
    await tx.query(sql`insert into namespaces (name, labels, uid, created_revision, revision, created_at, updated_at, updated_by)
      select * from json_to_recordset(${json(puts)}::json) as r (name text, labels json, ${META_COLUMNS})
      on conflict (name) do update set labels = excluded.labels, revision = excluded.revision,
        updated_at = excluded.updated_at, updated_by = excluded.updated_by`);
    const gone = deletedKeys(changes);
    if (gone.length > 0) await tx.query(sql`delete from namespaces where name = any (${sql.param(gone)}::text[])`);
  },
  async identities(tx, changes) {
    const rows = changes.map(({ object }) => ({ ...object, labels: JSON.stringify(object.labels) }));
    await tx.query(sql`insert into identities (id, labels, unused_since)
      select * from json_to_recordset(${json(rows)}::json) as r (id int, labels text, "unusedSince" timestamptz)
      on conflict (id) do update set unused_since = excluded.unused_since`);
  },
  async workloads(tx, changes) {
    const puts = changes.filter((change) => change.type !== 'DELETED').map(({ object }) => flat(object));
    await tx.query(sql`insert into workloads (namespace, name, spec, identity, uid, created_revision, revision, created_at, updated_at, updated_by)
      select * from json_to_recordset(${json(puts)}::json) as r (namespace text, name text, spec json, identity int, ${META_COLUMNS})
      on conflict (namespace, name) do update set spec = excluded.spec, identity = excluded.identity,
        revision = excluded.revision, updated_at = excluded.updated_at, updated_by = excluded.updated_by`);
    const gone = deletedKeys(changes);
    if (gone.length > 0) {
      await tx.query(sql`delete from workloads where namespace || '/' || name = any (${sql.param(gone)}::text[])`);
    }
  },
  async hostWorkloads(tx, changes) {
    const puts = changes.filter((change) => change.type !== 'DELETED').map(({ object }) => flat(object));
    await tx.query(sql`insert into host_workloads (host, namespace, name, file, spec, identity, uid, created_revision, revision, created_at, updated_at, updated_by)
      select * from json_to_recordset(${json(puts)}::json) as r (host text, namespace text, name text, file text, spec json, identity int, ${META_COLUMNS})
      on conflict (host, namespace, name) do update set file = excluded.file, spec = excluded.spec,
        identity = excluded.identity, revision = excluded.revision, updated_at = excluded.updated_at, updated_by = excluded.updated_by`);
    const gone = deletedKeys(changes);
    if (gone.length > 0)
      await tx.query(
        sql`delete from host_workloads where namespace || '/' || name || '@' || host = any (${sql.param(gone)}::text[])`,
      );
  },
  async policies(tx, changes, texts) {
    const puts = changes
      .filter((change) => change.type !== 'DELETED')
      .map(({ key, object }) => ({ ...flat(object), namespace: object.namespace ?? '', ...texts.get(key) }));
    await tx.query(sql`insert into policies (kind, namespace, name, document, text, format, uid, created_revision, revision, created_at, updated_at, updated_by)
      select * from json_to_recordset(${json(puts)}::json)
        as r (kind text, namespace text, name text, document json, text text, format text, ${META_COLUMNS})
      on conflict (kind, namespace, name) do update set document = excluded.document, text = excluded.text,
        format = excluded.format, revision = excluded.revision, updated_at = excluded.updated_at, updated_by = excluded.updated_by`);
    for (const { type, object } of changes) {
      if (type !== 'DELETED') continue;
      const { kind, namespace = '', name } = object;
      await tx.query(sql`delete from policies where kind = ${kind} and namespace = ${namespace} and name = ${name}`);
    }
  },
};

function flat<T extends { readonly meta: Meta }>({ meta, ...rest }: T) {
  return { ...rest, ...meta };
}

function deletedKeys(changes: readonly Change[]): string[] {
  return changes.filter((change) => change.type === 'DELETED').map((change) => change.key);
}

function withoutMeta(object: object | undefined): object | undefined {
  if (object === undefined) return undefined;
  const { meta: _meta, textHash: _hash, ...rest } = object as Record<string, unknown>;
  return rest;
}

function json(value: unknown): string {
  return JSON.stringify(value);
}

export async function readPolicyText(
  db: Queries,
  kind: string,
  namespace: string | undefined,
  name: string,
): Promise<PolicyText | undefined> {
  const [row] = await db.query<PolicyText & Record<string, unknown>>(
    sql`select text, format from policies where kind = ${kind} and namespace = ${namespace ?? ''} and name = ${name}`,
  );
  return row;
}

/** Those of `ids` that still name nothing; another server may have given one out again meanwhile. */
export async function deleteIdentities(db: Queries, ids: readonly number[], nowMs: number): Promise<number[]> {
  const before = new Date(nowMs - REUSE_AFTER_MS).toISOString();
  const rows = await db.query<{ id: number }>(sql`
    delete from identities where id = any (${sql.param(ids)}::int[]) and unused_since < ${before}::timestamptz returning id`);
  return rows.map(({ id }) => id);
}
