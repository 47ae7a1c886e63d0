import type { IncomingMessage } from 'node:http';

/** As hints and examples are written. */
export const EXAMPLE_ORIGIN = 'http://127.0.0.1:7460';

/** What curl needs to come the way that this request came. Its Host has been checked: it is loopback. */
export function wayHere({ headers, socket }: IncomingMessage, socketPath: string): string {
  return socket.remoteAddress === undefined ? `--unix-socket ${socketPath} http://localhost` : `http://${headers.host}`;
}
