/** systemd's readiness protocol (sd_notify(3)): Node's dgram has no unix sockets. */
import { closeSync } from 'node:fs';
import { checkErrno } from '../sys/error.ts';
import { libc } from '../sys/libc.ts';

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const MSG_NOSIGNAL = 0x4000;

/** Sends "READY=1", "STATUS=…" lines to $NOTIFY_SOCKET. False if the process was not started by systemd (not set). */
export function sdNotify(text: string, path = process.env.NOTIFY_SOCKET): boolean {
  if (!path) return false;
  // struct sockaddr_un; a leading @ means the abstract namespace (NUL).
  const name = Buffer.from(path.replace(/^@/, '\0'));
  if (name.length > 107) throw new RangeError(`Cannot notify systemd: socket path of ${name.length} bytes`);
  const address = Buffer.alloc(2 + name.length + (path.startsWith('@') ? 0 : 1));
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  const message = Buffer.from(text);
  const fd = checkErrno(libc.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0), () => 'open unix datagram socket');
  try {
    const sent = libc.sendto(fd, message, message.length, MSG_NOSIGNAL, address, address.length);
    checkErrno(sent, () => `notify systemd at "${path}"`);
    return true;
  } finally {
    closeSync(fd);
  }
}
