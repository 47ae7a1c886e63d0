/**
 * The one way in which desired state changes. A write takes the revision in its transaction, is planned against exactly
 * the state before it, is checked to fit, and is published after it has committed: so revisions have no gaps, and every
 * reader sees them in order.
 */
import { CHANGES_KEPT, pruneChanges, readRevisions } from './change-log.ts';
import type { Database } from './database.ts';
import type { Draft } from './draft.ts';
import { type Effect, toEffect } from './effect.ts';
import { FitCheck } from './fit.ts';
import { expiredIdentities } from './identity-allocation.ts';
import type { Log } from './log.ts';
import { type Operation, type Precondition, type Prune, planWrite, targetOf } from './plan.ts';
import type { SeenReport } from './reports.ts';
import { applyRevision, type Revision, type State } from './state.ts';
import { deleteIdentities, loadState, type PolicyText, takeRevision, writeDraft } from './store-sql.ts';

export interface WriteOptions {
  readonly actor: string;
  readonly dryRun?: boolean;
  readonly precondition?: Precondition;
  readonly prune?: Prune | undefined;
}

export interface Written {
  readonly draft: Draft;
  /** The state that the answer describes: after the write, or after what a dry run would have written. */
  readonly state: State;
  readonly revision: number;
  /** What a dry run found; hosts and endpoints are not known here. */
  readonly effect?: Effect;
}

export type Listener = (revision: Revision, state: State) => void;

/** Ends a transaction that turned out to change nothing. */
class NothingChanged extends Error {}

export class Store {
  readonly db: Database;
  readonly #log: Log;
  readonly #fit: FitCheck;
  readonly #listeners = new Set<Listener>();
  #state: State;
  #queue: Promise<unknown> = Promise.resolve();

  /** @param hosts known now: what host policies come to on them */
  static async open(db: Database, log: Log, hosts?: () => ReadonlyMap<string, SeenReport>): Promise<Store> {
    const store = new Store(db, log, await loadState(db), new FitCheck(hosts));
    store.#fit.accept(store.#state);
    return store;
  }

  private constructor(db: Database, log: Log, state: State, fit: FitCheck) {
    this.#fit = fit;
    this.db = db;
    this.#log = log;
    this.#state = state;
  }

  get state(): State {
    return this.#state;
  }

  /** Called once per revision, in order, after it has committed. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  /** One at a time: the database would serialise them anyway, and the compiler is one. */
  write(operations: readonly Operation[], options: WriteOptions): Promise<Written> {
    return this.#enqueue(() =>
      options.dryRun ? this.#rehearse(operations, options) : this.#write(operations, options),
    );
  }

  /** Frees the numbers of identities that have named nothing for 30 days, on no host either. */
  forgetIdentities(nowMs: number, isHeld: (id: number) => boolean): Promise<void> {
    return this.#enqueue(async () => {
      const expired = expiredIdentities(this.#state.identities.values(), nowMs)
        .map(({ id }) => id)
        .filter((id) => !isHeld(id));
      if (expired.length === 0) return;
      const gone = new Set(await deleteIdentities(this.db, expired, nowMs));
      const identities = new Map([...this.#state.identities].filter(([, { id }]) => !gone.has(id)));
      this.#state = { ...this.#state, identities };
      this.#fit.accept(this.#state);
    });
  }

  /** Takes up what another server has written. */
  catchUp(): Promise<void> {
    return this.#enqueue(() => this.#catchUp(this.db, Number.MAX_SAFE_INTEGER));
  }

  async #rehearse(operations: readonly Operation[], options: WriteOptions): Promise<Written> {
    const state = this.#state;
    const draft = this.#plan(operations, state, state.revision + 1, options);
    this.#fit.accept(state);
    const next = draft.next;
    try {
      return { draft, state: next, revision: state.revision, effect: toEffect(state, next, this.#fit.check(next)) };
    } finally {
      this.#fit.accept(state);
    }
  }

  async #write(operations: readonly Operation[], options: WriteOptions): Promise<Written> {
    let draft: Draft | undefined;
    let next: State | undefined;
    try {
      await this.db.transaction(async (tx) => {
        const revision = await takeRevision(tx);
        if (revision !== this.#state.revision + 1) await this.#catchUp(tx, revision - 1);
        draft = this.#plan(operations, this.#state, revision, options);
        if (draft.changes.length === 0) throw new NothingChanged();
        next = draft.next;
        this.#fit.check(next);
        await writeDraft(tx, draft, textsOf(operations));
      });
    } catch (error) {
      // The compiler may already have seen what did not become true.
      this.#fit.accept(this.#state);
      if (error instanceof NothingChanged) return { draft: draft!, state: this.#state, revision: this.#state.revision };
      throw error;
    }
    this.#publish(draft!.revision, next!);
    return { draft: draft!, state: this.#state, revision: this.#state.revision };
  }

  #plan(operations: readonly Operation[], state: State, revision: number, options: WriteOptions) {
    const { actor, precondition, prune } = options;
    const now = new Date().toISOString();
    return planWrite(
      state,
      operations,
      { revision, now, actor, newUid: () => crypto.randomUUID() },
      precondition,
      prune,
    );
  }

  async #catchUp(db: Pick<Database, 'query'>, upTo: number): Promise<void> {
    const revisions = await readRevisions(db, this.#state.revision, upTo);
    if (revisions === undefined) return this.#reload(db, upTo);
    for (const revision of revisions) this.#publish(revision, applyRevision(this.#state, revision));
    this.#fit.accept(this.#state);
  }

  /** The log does not reach back to us: start anew. Streams end, and resume with a snapshot. */
  async #reload(db: Pick<Database, 'query'>, upTo: number): Promise<void> {
    const state = await loadState(db);
    if (state.revision === this.#state.revision) return;
    this.#log(
      'warn',
      `revision ${this.#state.revision} is behind ${state.revision} by more than the log holds: reloading`,
    );
    this.#state = { ...state, revision: Math.min(state.revision, upTo) };
    this.#fit.accept(this.#state);
    for (const listener of this.#listeners) listener({ revision: this.#state.revision, changes: [] }, this.#state);
  }

  #publish(revision: Revision, state: State): void {
    this.#state = state;
    for (const listener of this.#listeners) listener(revision, state);
    if (revision.revision % 1000 === 0 && revision.revision > CHANGES_KEPT) {
      pruneChanges(this.db, revision.revision).catch((error) => this.#log('warn', `cannot prune changes: ${error}`));
    }
  }

  #enqueue<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(act);
    this.#queue = done.catch(() => undefined);
    return done;
  }
}

function textsOf(operations: readonly Operation[]): Map<string, PolicyText> {
  const texts = new Map<string, PolicyText>();
  for (const operation of operations) {
    if (operation.type !== 'putPolicy') continue;
    texts.set(targetOf(operation).key, { text: operation.text, format: operation.format });
  }
  return texts;
}
