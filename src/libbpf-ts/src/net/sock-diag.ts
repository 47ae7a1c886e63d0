/** One socket by its addresses, through NETLINK_SOCK_DIAG (sock_diag(7)), in the caller's network namespace. */
import { closeSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { BpfError, checkErrno, ENOENT } from '../sys/error.ts';
import { libc } from '../sys/libc.ts';
import { addressBytes } from './address.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const NETLINK_SOCK_DIAG = 4;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;

const SOCK_DIAG_BY_FAMILY = 20;
const SOCK_DESTROY = 21;
const NLMSG_ERROR = 2;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const HEADER = 16;

const IPPROTO = { tcp: 6, udp: 17 } as const;

export interface SocketAddresses {
  readonly protocol: 'tcp' | 'udp';
  readonly local: { readonly address: string; readonly port: number };
  readonly remote: { readonly address: string; readonly port: number };
}

export interface SocketOwner {
  readonly uid: number;
  /** Inode of the socket, as in /proc/PID/fd ("socket:[123]"); 0 when no process holds it any more. */
  readonly inode: number;
}

/** Owner of the socket with exactly these ends, undefined if there is none. `local` is the socket's own end. */
export function inetDiag(socket: SocketAddresses): SocketOwner | undefined {
  const reply = netlinkRequest(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, inetDiagRequest(socket));
  // struct inet_diag_msg: uid at 64, inode at 68.
  return reply && { uid: reply.readUInt32LE(64), inode: reply.readUInt32LE(68) };
}

/** Uid of the socket with exactly these ends, undefined if there is none. */
export function inetDiagUid(socket: SocketAddresses): number | undefined {
  return inetDiag(socket)?.uid;
}

/**
 * Aborts the socket (its owner sees ECONNABORTED, the peer a reset). False if there is none. Needs CAP_NET_ADMIN and
 * CONFIG_INET_DIAG_DESTROY, else throws BpfError (EPERM, EOPNOTSUPP).
 */
export function sockDestroy(socket: SocketAddresses): boolean {
  return netlinkRequest(SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK, inetDiagRequest(socket)) !== undefined;
}

/** struct inet_diag_req_v2, 56 bytes: exact socket, any state, no cookie. */
function inetDiagRequest({ protocol, local, remote }: SocketAddresses): Buffer {
  const v6 = isIPv6(local.address) || isIPv6(remote.address);
  const request = Buffer.alloc(56);
  request.writeUInt8(v6 ? AF_INET6 : AF_INET, 0);
  request.writeUInt8(IPPROTO[protocol], 1);
  request.writeUInt32LE(0xffff_ffff, 4);
  request.writeUInt16BE(local.port, 8);
  request.writeUInt16BE(remote.port, 10);
  request.set(addressBytes(local.address, v6), 12);
  request.set(addressBytes(remote.address, v6), 28);
  // Interface 0, cookie INET_DIAG_NOCOOKIE.
  request.fill(0xff, 48, 56);
  return request;
}

/** Payload of the answer; empty for a bare acknowledgement; undefined for ENOENT. Throws BpfError for other errors. */
function netlinkRequest(type: number, flags: number, payload: Buffer): Buffer | undefined {
  const op = (): string => (type === SOCK_DESTROY ? 'destroy socket' : 'find socket');
  const message = Buffer.alloc(HEADER + payload.length);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt16LE(type, 4);
  message.writeUInt16LE(flags, 6);
  message.writeUInt32LE(1, 8);
  payload.copy(message, HEADER);
  const kernel = Buffer.alloc(12);
  kernel.writeUInt16LE(AF_NETLINK, 0);

  const fd = checkErrno(libc.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_SOCK_DIAG), op);
  try {
    // The kernel answers within sendto; the limit only guards against blocking the event loop for ever.
    const timeout = Buffer.alloc(16);
    timeout.writeBigInt64LE(1n, 0);
    checkErrno(libc.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, timeout.length), op);
    checkErrno(libc.sendto(fd, message, message.length, 0, kernel, kernel.length), op);
    const answer = Buffer.alloc(8192);
    const length = checkErrno(libc.recv(fd, answer, answer.length, 0), op);
    if (answer.readUInt16LE(4) !== NLMSG_ERROR) return answer.subarray(HEADER, length);
    const errno = -answer.readInt32LE(HEADER);
    if (errno === 0) return Buffer.alloc(0);
    if (errno === ENOENT) return undefined;
    throw new BpfError(op(), errno);
  } finally {
    closeSync(fd);
  }
}
