/** Who is at the other end of a connected unix socket (unix(7), SO_PEERCRED). */
import { checkErrno } from '../sys/error.ts';
import { libc } from '../sys/libc.ts';

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;

/** Credentials at the time of connect(2), not of now: the process may be gone and its pid reused. */
export interface PeerCred {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** `fd` of a connected unix stream socket. Throws BpfError (ENOTSOCK, …). */
export function unixPeerCred(fd: number): PeerCred {
  const cred = Buffer.alloc(12);
  const length = new Uint32Array([cred.length]);
  checkErrno(libc.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, cred, length), () => `read peer of socket fd ${fd}`);
  return { pid: cred.readInt32LE(0), uid: cred.readUInt32LE(4), gid: cred.readUInt32LE(8) };
}
