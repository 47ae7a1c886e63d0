import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { type PeerCred, unixPeerCred } from 'libbpf-ts/net';

/** Who is at the other end of the agent's socket, asked of the kernel. Throws when it cannot say: then nobody is let in. */
export function callerOf({ socket }: IncomingMessage): PeerCred {
  const known = callers.get(socket);
  if (known !== undefined) return known;
  // Node has no public way to the descriptor of an accepted connection.
  const fd = (socket as unknown as { _handle?: { fd?: number } })._handle?.fd;
  if (fd === undefined || fd < 0) throw new Error('Cannot tell who is connected: the connection is closed');
  const caller = unixPeerCred(fd);
  callers.set(socket, caller);
  return caller;
}

const callers = new WeakMap<Socket, PeerCred>();

/** Root, and whoever the agent runs as (in development). */
export function isTrusted({ uid }: PeerCred): boolean {
  return uid === 0 || uid === process.geteuid?.();
}
