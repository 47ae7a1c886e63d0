/** Questions to the kernel by netlink(7), in the network namespace of the calling thread. */
import { closeSync } from 'node:fs';
import { BpfError, checkErrno } from './error.ts';
import { libc } from './libc.ts';

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const NETLINK_ROUTE = 0;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;

export const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
export const NLM_F_REQUEST = 1;
const NLM_F_DUMP = 0x300;
/** NLM_F_DUMP_INTR: what is dumped changed meanwhile. */
const INTERRUPTED = 0x10;
/** Of a message (struct nlmsghdr): length at 0, type at 4, flags at 6; of NLMSG_ERROR minus errno follows. */
export const HEADER = 16;
/** No answer of the kernel is longer than this at a time. */
const PART = 65_536;
const TRIES = 10;

export interface NetlinkMessage {
  /** NETLINK_* */
  readonly protocol: number;
  readonly type: number;
  readonly flags: number;
  readonly payload: Buffer;
}

/** Sends it and hands over what comes, part by part, until `take` has its answer. */
export function netlink<T>(
  { protocol, type, flags, payload }: NetlinkMessage,
  op: () => string,
  take: (part: Buffer) => T | undefined,
): T {
  const message = Buffer.alloc(HEADER + payload.length);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt16LE(type, 4);
  message.writeUInt16LE(flags, 6);
  message.writeUInt32LE(1, 8);
  payload.copy(message, HEADER);
  const kernel = Buffer.alloc(12);
  kernel.writeUInt16LE(AF_NETLINK, 0);

  const fd = checkErrno(libc.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, protocol), op);
  try {
    // The kernel answers at once; the limit only guards against blocking the event loop for ever.
    const timeout = Buffer.alloc(16);
    timeout.writeBigInt64LE(1n, 0);
    checkErrno(libc.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, timeout.length), op);
    checkErrno(libc.sendto(fd, message, message.length, 0, kernel, kernel.length), op);
    for (;;) {
      const part = Buffer.allocUnsafe(PART);
      const answer = take(part.subarray(0, checkErrno(libc.recv(fd, part, part.length, 0), op)));
      if (answer !== undefined) return answer;
    }
  } finally {
    closeSync(fd);
  }
}

/** The payloads of all answers of rtnetlink(7). One that was interrupted by a change is asked again. */
export function routeDump(type: number, payload: Buffer, op: () => string): Buffer[] {
  for (let tries = 1; ; tries++) {
    const found: Buffer[] = [];
    let interrupted = false;
    const question = { protocol: NETLINK_ROUTE, type, flags: NLM_F_REQUEST | NLM_F_DUMP, payload };
    netlink(question, op, (part) => {
      for (let at = 0; at + HEADER <= part.length; at += align(part.readUInt32LE(at))) {
        const kind = part.readUInt16LE(at + 4);
        if (kind === NLMSG_ERROR) throw new BpfError(op(), -part.readInt32LE(at + HEADER));
        if ((part.readUInt16LE(at + 6) & INTERRUPTED) !== 0) interrupted = true;
        if (kind === NLMSG_DONE) return true;
        found.push(part.subarray(at + HEADER, at + part.readUInt32LE(at)));
      }
      return undefined;
    });
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

function align(length: number): number {
  return (length + 3) & ~3;
}
