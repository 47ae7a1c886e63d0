import type { AgentStreamLine, Ask } from '../api/agent-stream.ts';
import { type DesiredState, fromSnapshot, withDelta } from './desired-state.ts';
import type { ServerClient } from './server-client.ts';

export interface WatchHandlers {
  /** The state that is held now: where to resume. */
  readonly state: () => DesiredState;
  /** A newer state, never an older one. */
  readonly onState: (state: DesiredState) => void;
  /** The control plane wants to know something of this host. */
  readonly onAsk: (ask: Ask) => void;
  readonly onConnection: (connected: boolean, detail: string) => void;
}

/** A server that says nothing for this long is taken as gone; it sends a bookmark every 10 s. */
const SILENCE_MS = 30_000;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;

/** Follows the control plane for ever: resumes at the held revision, retries with jitter. Returns the stop function. */
export function watchServer(client: ServerClient, hostName: string, handlers: WatchHandlers): () => void {
  const stop = new AbortController();
  let retryMs = RETRY_MIN_MS;
  let timer: NodeJS.Timeout | undefined;

  const follow = async (): Promise<void> => {
    const { uid, revision } = handlers.state();
    const query = new URLSearchParams({ host: hostName, ...(uid === '' ? {} : { uid, revision: String(revision) }) });
    const onLine = (line: string): void => {
      retryMs = RETRY_MIN_MS;
      handlers.onConnection(true, '');
      take(JSON.parse(line) as AgentStreamLine, handlers);
    };
    try {
      await client.lines(`/v1/agent/stream?${query}`, onLine, { silenceMs: SILENCE_MS, signal: stop.signal });
      if (!stop.signal.aborted) handlers.onConnection(false, 'the stream ended');
    } catch (error) {
      if (!stop.signal.aborted) handlers.onConnection(false, (error as Error).message);
    }
    if (stop.signal.aborted) return;
    timer = setTimeout(follow, retryMs * (0.5 + Math.random()));
    retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
  };
  void follow();
  return () => {
    stop.abort();
    clearTimeout(timer);
  };
}

/** DESIGN law 5: of one control plane never backwards; another one (a reset database) is a new beginning. */
function take(line: AgentStreamLine, { state, onState, onAsk }: WatchHandlers): void {
  const held = state();
  if (line.type === 'ask') return onAsk(line);
  if (line.type === 'bookmark') return;
  if (line.type === 'snapshot') {
    const next = fromSnapshot(line);
    if (next.uid === held.uid && next.revision < held.revision)
      throw new Error(`the control plane offers revision ${next.revision}, older than ${held.revision}`);
    if (next.uid !== held.uid || next.revision > held.revision) onState(next);
    return;
  }
  if (line.revision > held.revision) onState(withDelta(held, line));
}
