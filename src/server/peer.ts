/**
 * Who is at the other end of a connection: asked of the kernel once per connection, never of the client.
 * Unix socket: SO_PEERCRED. Loopback TCP: the client's own socket, found by its addresses (sock_diag).
 */
import type { Socket } from 'node:net';
import { inetDiag, unixPeerCred } from 'libbpf-ts/net';

export interface SocketEnd {
  readonly address: string;
  readonly port: number;
}

export type Peer =
  | { readonly kind: 'unix'; readonly uid: number; readonly pid: number }
  /** Addresses as the client sees them: `local` is the client's. `uid`, `cookie` undefined = no such socket any more. */
  | {
      readonly kind: 'tcp';
      readonly uid: number | undefined;
      readonly cookie: number | undefined;
      readonly local: SocketEnd;
      readonly remote: SocketEnd;
    };

export interface PeerLookup {
  readonly peerCred: (fd: number) => { readonly uid: number; readonly pid: number };
  readonly clientSocket: (client: {
    local: SocketEnd;
    remote: SocketEnd;
  }) => { readonly uid: number; readonly cookie: number } | undefined;
}

/** Index of `lo` in every network namespace. */
const LOOPBACK = 1;

export const KERNEL_LOOKUP: PeerLookup = {
  peerCred: unixPeerCred,
  // also one that its process has bound to the interface
  clientSocket: (client) => inetDiag({ protocol: 'tcp', ...client, interface: LOOPBACK }),
};

const peers = new WeakMap<Socket, Peer>();

/** Throws when the kernel cannot say: then nobody is let in. */
export function peerOf(socket: Socket, lookup: PeerLookup): Peer {
  let peer = peers.get(socket);
  if (peer === undefined) {
    peer = findPeer(socket, lookup);
    peers.set(socket, peer);
  }
  return peer;
}

function findPeer(socket: Socket, lookup: PeerLookup): Peer {
  const { remoteAddress, remotePort, localAddress, localPort } = socket;
  if (remoteAddress === undefined || localAddress === undefined) {
    const fd = fdOf(socket);
    if (fd === undefined || fd < 0) throw new Error('Cannot tell who is connected: the connection is closed');
    const { uid, pid } = lookup.peerCred(fd);
    return { kind: 'unix', uid, pid };
  }
  const local = { address: plainAddress(remoteAddress), port: remotePort! };
  const remote = { address: plainAddress(localAddress), port: localPort! };
  const client = lookup.clientSocket({ local, remote });
  return { kind: 'tcp', uid: client?.uid, cookie: client?.cookie, local, remote };
}

/** Node has no public way to the descriptor of an accepted connection. */
export function fdOf(socket: Socket): number | undefined {
  return (socket as unknown as { _handle?: { fd?: number } })._handle?.fd;
}

/** A dual-stack listener shows IPv4 as ::ffff:127.0.0.1. */
function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/, '');
}
