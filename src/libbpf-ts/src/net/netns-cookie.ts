/** The number by which programs know a network namespace (SO_NETNS_COOKIE, Linux 5.14; what bpf_get_netns_cookie returns). */
import { closeSync } from 'node:fs';
import { checkErrno } from '../sys/error.ts';
import { libc } from '../sys/libc.ts';

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SOL_SOCKET = 1;
const SO_NETNS_COOKIE = 71;

/** Of the calling thread's namespace. Never reused while the system runs, unlike the inode of /proc/PID/ns/net. */
export function netnsCookie(): number {
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
  checkErrno(fd, () => 'open a socket to read the cookie of the network namespace');
  try {
    const value = Buffer.alloc(8);
    const length = new Uint32Array([value.length]);
    const what = (): string => 'read the cookie of the network namespace';
    checkErrno(libc.getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, value, length), what);
    return Number(value.readBigUInt64LE());
  } finally {
    closeSync(fd);
  }
}
