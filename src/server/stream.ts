/**
 * A response that goes on: lines written to the socket itself, so that one line for a thousand readers is one buffer.
 * A reader that does not keep up is cut off and resumes at its revision; it never makes the server's memory grow.
 */
import type { ServerResponse } from 'node:http';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import type { Request } from './operation.ts';

/** Bytes that may wait for one reader before the next line. */
const MAX_WAITING = 8 * 1024 * 1024;
/** Bytes that may wait before a long answer pauses. */
const PAUSE_WAITING = 256 * 1024;

export interface Stream {
  /** One JSON text per line; `id` is where an SSE reader would resume. */
  write(json: string | Buffer, id?: number): void;
  /** Nothing, visibly: shows either end that the connection lives. */
  beat(): void;
  /** Resolves when the reader has taken what it was given: between the lines of a long answer. */
  ready(): Promise<void>;
  /** Bytes that the reader has not taken yet. */
  readonly waiting: number;
  readonly closed: boolean;
  onClose(act: () => void): void;
  end(): void;
}

export interface StreamOptions {
  /** Called for as long as the stream is open; what it writes shows that the stream is alive. */
  readonly everyMs?: number;
  readonly tick?: () => void;
}

/** The open streams of one server: counted, and ended with it. */
export class Streams {
  readonly #open = new Set<ServerResponse>();

  get count(): number {
    return this.#open.size;
  }

  endAll(): void {
    for (const response of this.#open) response.end();
  }

  start(c: Request, { everyMs, tick }: StreamOptions = {}): Stream {
    const response = c.env.outgoing as ServerResponse;
    const isSse = (c.req.header('accept') ?? '').includes('text/event-stream');
    response.writeHead(200, {
      'content-type': isSse ? 'text/event-stream' : 'application/x-ndjson',
      'cache-control': 'no-store',
      'x-request-id': c.get('requestId'),
    });
    response.flushHeaders();
    this.#open.add(response);
    const timer = tick === undefined ? undefined : setInterval(tick, everyMs).unref();
    const closers: (() => void)[] = [];
    let closed = false;
    response.on('close', () => {
      closed = true;
      this.#open.delete(response);
      clearInterval(timer);
      for (const act of closers) act();
    });
    response.on('error', () => undefined);
    return {
      write(json, id) {
        if (closed || response.writableEnded) return;
        if (response.writableLength > MAX_WAITING) response.destroy();
        else if (isSse) response.write(`${id === undefined ? '' : `id: ${id}\n`}data: ${json}\n\n`);
        else response.write(typeof json === 'string' ? `${json}\n` : json);
      },
      async ready() {
        if (closed || response.writableLength < PAUSE_WAITING) return;
        await new Promise<void>((resolve) => {
          closers.push(resolve);
          response.once('drain', resolve);
        });
      },
      beat() {
        if (!closed && !response.writableEnded) response.write(isSse ? ':\n\n' : '\n');
      },
      get waiting() {
        return response.writableLength;
      },
      get closed() {
        return closed;
      },
      onClose(act) {
        if (closed) act();
        else closers.push(act);
      },
      end: () => response.end(),
    };
  }
}

/** What a handler returns whose stream has taken the response over. */
export const STREAMING = RESPONSE_ALREADY_SENT;
