/** One TCP socket by its addresses, through NETLINK_SOCK_DIAG (sock_diag(7)), in the caller's network namespace. */
import { isIPv6 } from 'node:net';
import { BpfError, ENOENT } from '../sys/error.ts';
import { HEADER, NLM_F_REQUEST, NLMSG_ERROR, netlink } from '../sys/netlink.ts';
import { addressBytes } from './address.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const NETLINK_SOCK_DIAG = 4;

const SOCK_DIAG_BY_FAMILY = 20;
const SOCK_DESTROY = 21;
const NLM_F_ACK = 4;

const IPPROTO_TCP = 6;
const NO_COOKIE = Buffer.alloc(8, 0xff);

export interface SocketAddresses {
  readonly protocol: 'tcp';
  /** The socket's own end. */
  readonly local: { readonly address: string; readonly port: number };
  /** The other end; port 0 means a listening socket. */
  readonly remote: { readonly address: string; readonly port: number };
  /** Index of the interface that it is bound to (SO_BINDTODEVICE): without it the kernel does not find such a socket. */
  readonly interface?: number;
}

export interface SocketOwner {
  readonly uid: number;
  /** Inode of the socket, as in /proc/PID/fd ("socket:[123]"). */
  readonly inode: number;
  /** Of `socketCookie`. */
  readonly cookie: number;
}

/**
 * Owner of the socket with exactly these ends, undefined if there is none or no process holds it any more (closed,
 * TIME_WAIT, not yet accepted): of those the kernel reports uid 0, which must never be taken for root.
 */
export function inetDiag(socket: SocketAddresses): SocketOwner | undefined {
  const found = findSocket(socket);
  if (found === undefined || found.inode === 0) return undefined;
  return { uid: found.uid, inode: found.inode, cookie: Number(found.cookie.readBigUInt64LE()) };
}

/** Uid of `inetDiag`. */
export function inetDiagUid(socket: SocketAddresses): number | undefined {
  return inetDiag(socket)?.uid;
}

/**
 * Aborts the socket (its owner sees ECONNABORTED, the peer a reset). False if there is none. Needs CAP_NET_ADMIN and
 * CONFIG_INET_DIAG_DESTROY, else throws BpfError (EPERM, EOPNOTSUPP).
 */
export function sockDestroy(socket: SocketAddresses): boolean {
  const found = findSocket(socket);
  if (found === undefined) return false;
  // The cookie: by its addresses alone the kernel could take the listening socket, once the connection is gone.
  return netlinkRequest(SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK, inetDiagRequest(socket, found.cookie)) !== undefined;
}

/** The kernel falls back to a socket listening on the local port: such an answer is another socket. */
function findSocket(socket: SocketAddresses): (Omit<SocketOwner, 'cookie'> & { readonly cookie: Buffer }) | undefined {
  const reply = netlinkRequest(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, inetDiagRequest(socket, NO_COOKIE));
  // struct inet_diag_msg: remote port at 6, cookie at 44, uid at 64, inode at 68.
  if (reply === undefined || reply.readUInt16BE(6) !== socket.remote.port) return undefined;
  return { uid: reply.readUInt32LE(64), inode: reply.readUInt32LE(68), cookie: reply.subarray(44, 52) };
}

/** struct inet_diag_req_v2, 56 bytes: one socket in any state. */
function inetDiagRequest(socket: SocketAddresses, cookie: Buffer): Buffer {
  const { local, remote } = socket;
  const v6 = isIPv6(local.address) || isIPv6(remote.address);
  const request = Buffer.alloc(56);
  request.writeUInt8(v6 ? AF_INET6 : AF_INET, 0);
  request.writeUInt8(IPPROTO_TCP, 1);
  request.writeUInt32LE(0xffff_ffff, 4);
  request.writeUInt16BE(local.port, 8);
  request.writeUInt16BE(remote.port, 10);
  request.set(addressBytes(local.address, v6), 12);
  request.set(addressBytes(remote.address, v6), 28);
  request.writeUInt32LE(socket.interface ?? 0, 44);
  cookie.copy(request, 48);
  return request;
}

/** Payload of the answer; empty for a bare acknowledgement; undefined for ENOENT. Throws BpfError for other errors. */
function netlinkRequest(type: number, flags: number, payload: Buffer): Buffer | undefined {
  const op = (): string => (type === SOCK_DESTROY ? 'destroy socket' : 'find socket');
  const answer = netlink({ protocol: NETLINK_SOCK_DIAG, type, flags, payload }, op, (part) => part);
  if (answer.readUInt16LE(4) !== NLMSG_ERROR) return answer.subarray(HEADER);
  const errno = -answer.readInt32LE(HEADER);
  if (errno === 0) return Buffer.alloc(0);
  if (errno === ENOENT) return undefined;
  throw new BpfError(op(), errno);
}
