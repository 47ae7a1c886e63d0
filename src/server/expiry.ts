/**
 * `postern.dev/expires`: at that time, by this server's clock, the policy goes out of force as by DELETE. The history says
 * that `expiry` did it, and a rollback with a later time brings it back. While no server runs it stays in force: agents
 * never change policy by themselves.
 */
import { annotationsOf, EXPIRES_ANNOTATION } from '../core/policy-annotations.ts';
import type { FieldError } from '../core/problem.ts';
import { etagOf } from './etag.ts';
import type { Log } from './log.ts';
import { ProblemError } from './problem-error.ts';
import type { State, StoredPolicy } from './state.ts';
import type { Store } from './store.ts';

/** `updatedBy` and history of what ended by itself. */
export const EXPIRY_ACTOR = 'expiry';

/** setTimeout takes no more; a later time is looked at again then. */
const MOST_MS = 2 ** 31 - 1;
const RETRY_MS = 5000;

/** Until the returned function is called. */
export function startExpiry(store: Store, log: Log): () => void {
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;

  function arm(delayMs: number): void {
    clearTimeout(timer);
    if (!isClosed) timer = setTimeout(() => void expire(), Math.min(Math.max(0, delayMs), MOST_MS)).unref();
  }

  function armNext(): void {
    const next = nextExpiry(store.state);
    if (next === undefined) clearTimeout(timer);
    else arm(next - Date.now());
  }

  async function expire(): Promise<void> {
    try {
      for (const policy of expired(store.state, Date.now())) await remove(policy);
      armNext();
    } catch (error) {
      log('warn', `cannot take expired policy out of force, trying again in ${RETRY_MS / 1000} s: ${String(error)}`);
      arm(RETRY_MS);
    }
  }

  async function remove({ kind, namespace, name, meta }: StoredPolicy): Promise<void> {
    const key = [kind, namespace, name].filter((part) => part !== undefined).join('/');
    try {
      const operation = { type: 'deletePolicy', kind, ...(namespace !== undefined && { namespace }), name } as const;
      await store.write([operation], { actor: EXPIRY_ACTOR, precondition: { match: [etagOf(meta)] } });
      log('info', `${key} has expired and is out of force`);
    } catch (error) {
      // Somebody was faster: another server, or a person who gave it more time.
      if (!(error instanceof ProblemError && (error.code === 'stale' || error.code === 'not-found'))) throw error;
    }
  }

  const stop = store.listen(({ changes }) => {
    if (changes.length === 0 || changes.some(({ collection }) => collection === 'policies')) armNext();
  });
  armNext();
  return () => {
    isClosed = true;
    stop();
    clearTimeout(timer);
  };
}

/** A time that is over is refused, or the policy would be gone before it was there. */
export function expiryErrors(document: Readonly<Record<string, unknown>>, nowMs: number): FieldError[] {
  const { expires } = annotationsOf(document);
  if (expires === undefined || Date.parse(expires) > nowMs) return [];
  const path = `/metadata/annotations/${EXPIRES_ANNOTATION.replace('/', '~1')}`;
  return [{ path, message: `is over already: it is ${new Date(nowMs).toISOString()}`, value: expires }];
}

function expiresAt({ document }: StoredPolicy): number {
  const { expires } = annotationsOf(document);
  return expires === undefined ? Number.POSITIVE_INFINITY : Date.parse(expires);
}

function nextExpiry(state: State): number | undefined {
  let next = Number.POSITIVE_INFINITY;
  for (const policy of state.policies.values()) next = Math.min(next, expiresAt(policy));
  return Number.isFinite(next) ? next : undefined;
}

function expired(state: State, nowMs: number): StoredPolicy[] {
  return [...state.policies.values()].filter((policy) => expiresAt(policy) <= nowMs);
}
