/** The number by which programs know a socket (socket(7), SO_COOKIE; what bpf_get_socket_cookie returns). */
import { checkErrno } from '../sys/error.ts';
import { libc } from '../sys/libc.ts';

const SOL_SOCKET = 1;
const SO_COOKIE = 57;

/** Never reused while the system runs. Throws BpfError (EBADF, ENOTSOCK). */
export function socketCookie(fd: number): number {
  const value = Buffer.alloc(8);
  const length = new Uint32Array([value.length]);
  checkErrno(libc.getsockopt(fd, SOL_SOCKET, SO_COOKIE, value, length), () => `read cookie of socket fd ${fd}`);
  return Number(value.readBigUInt64LE());
}
