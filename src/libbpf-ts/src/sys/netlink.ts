/** Dumps of NETLINK_ROUTE (rtnetlink(7)), in the network namespace of the calling thread. */
import { closeSync } from 'node:fs';
import { BpfError, checkErrno } from './error.ts';
import { libc } from './libc.ts';

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const NETLINK_ROUTE = 0;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
/** NLM_F_REQUEST | NLM_F_DUMP. */
const DUMP = 1 | 0x300;
/** NLM_F_DUMP_INTR: what is dumped changed meanwhile. */
const INTERRUPTED = 0x10;
const HEADER = 16;
/** No dump of the kernel is longer than this at a time. */
const PART = 65_536;
const TRIES = 10;

/** The payloads of all answers. One that was interrupted by a change is asked again. */
export function routeDump(type: number, request: Buffer, op: () => string): Buffer[] {
  for (let tries = 1; ; tries++) {
    const { found, interrupted } = dump(type, request, op);
    if (!interrupted || tries === TRIES) return found;
  }
}

/** Attributes (struct rtattr) by their type. */
export function attributes(bytes: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < 4) break;
    found.set(bytes.readUInt16LE(at + 2) & 0x3fff, bytes.subarray(at + 4, at + length));
    at += align(length);
  }
  return found;
}

function dump(type: number, request: Buffer, op: () => string): { found: Buffer[]; interrupted: boolean } {
  const message = Buffer.alloc(HEADER + request.length);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt16LE(type, 4);
  message.writeUInt16LE(DUMP, 6);
  message.writeUInt32LE(1, 8);
  request.copy(message, HEADER);
  const kernel = Buffer.alloc(12);
  kernel.writeUInt16LE(AF_NETLINK, 0);

  const found: Buffer[] = [];
  let interrupted = false;
  const fd = checkErrno(libc.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_ROUTE), op);
  try {
    // The kernel answers at once; the limit only guards against blocking the event loop for ever.
    const timeout = Buffer.alloc(16);
    timeout.writeBigInt64LE(1n, 0);
    checkErrno(libc.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, timeout.length), op);
    checkErrno(libc.sendto(fd, message, message.length, 0, kernel, kernel.length), op);
    for (;;) {
      const part = Buffer.allocUnsafe(PART);
      const length = checkErrno(libc.recv(fd, part, part.length, 0), op);
      for (let at = 0; at + HEADER <= length; at += align(part.readUInt32LE(at))) {
        const kind = part.readUInt16LE(at + 4);
        if (kind === NLMSG_ERROR) throw new BpfError(op(), -part.readInt32LE(at + HEADER));
        if ((part.readUInt16LE(at + 6) & INTERRUPTED) !== 0) interrupted = true;
        if (kind === NLMSG_DONE) return { found, interrupted };
        found.push(part.subarray(at + HEADER, at + part.readUInt32LE(at)));
      }
    }
  } finally {
    closeSync(fd);
  }
}

function align(length: number): number {
  return (length + 3) & ~3;
}
