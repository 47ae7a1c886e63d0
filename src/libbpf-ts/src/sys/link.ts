/** bpf_link by file descriptor. Only links made by bpf_program__attach keep a libbpf pointer, for their clean-up. */
import { closeSync, readSync } from 'node:fs';
import { check, EOPNOTSUPP, EPERM } from './error.ts';
import { libbpf } from './libbpf.ts';
import type { Pointer } from './libc.ts';
import { Struct } from './opts.ts';

const BPF_F_REPLACE = 4;
const READ_SIZE = 65_536;

export class LinkHandle {
  readonly #fd: number;
  readonly #pointer: Pointer | undefined;
  #closed = false;

  private constructor(fd: number, pointer: Pointer | undefined) {
    this.#fd = fd;
    this.#pointer = pointer;
  }

  /** Owns `fd` from now on. */
  static fromFd(fd: number): LinkHandle {
    return new LinkHandle(fd, undefined);
  }

  static adopt(pointer: Pointer): LinkHandle {
    return new LinkHandle(libbpf().bpf_link__fd(pointer), pointer);
  }

  get fd(): number {
    if (this.#closed) throw new Error('BPF link is closed');
    return this.#fd;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#pointer === undefined) closeSync(this.#fd);
    else libbpf().bpf_link__destroy(this.#pointer);
  }
}

export interface LinkCreate {
  readonly programFd: number;
  /** cgroup fd, ifindex, netns fd, or 0. */
  readonly target: number;
  readonly attachType: number;
  readonly flags?: number;
  /** union bpf_iter_link_info. */
  readonly iterInfo?: Uint8Array;
  readonly op: () => string;
}

export function linkCreate({ programFd, target, attachType, flags, iterInfo, op }: LinkCreate): LinkHandle {
  // struct bpf_link_create_opts: flags at 8, iter_info at 16, iter_info_len at 24.
  const opts = Struct.opts(72)
    .u32(8, flags ?? 0)
    .pointer(16, iterInfo)
    .u32(24, iterInfo?.length ?? 0);
  const result = libbpf().bpf_link_create(programFd, target, attachType, opts.bytes);
  opts.release();
  const hint = result === -EPERM ? { hint: 'needs CAP_BPF and CAP_NET_ADMIN (iterators: CAP_PERFMON)' } : {};
  return LinkHandle.fromFd(check(result, op, hint));
}

/** Atomic replacement. With `expectedFd` only if that program is attached now (else EPERM). */
export function linkUpdate(linkFd: number, programFd: number, expectedFd?: number): void {
  // struct bpf_link_update_opts: flags at 8, old_prog_fd at 12.
  const opts = Struct.opts(16);
  if (expectedFd !== undefined) opts.u32(8, BPF_F_REPLACE).u32(12, expectedFd);
  const result = libbpf().bpf_link_update(linkFd, programFd, opts.bytes);
  const hint =
    result === -EPERM && expectedFd !== undefined ? { hint: 'another program is attached than expected' } : {};
  check(result, () => 'update BPF link', hint);
}

/** False if this kind of link cannot be detached (tracing, iter): closing it is all there is. */
export function linkDetach(linkFd: number): boolean {
  const result = libbpf().bpf_link_detach(linkFd);
  if (result === -EOPNOTSUPP) return false;
  check(result, () => 'detach BPF link');
  return true;
}

/** Runs the iterator once and returns everything its program wrote. */
export function iterRead(linkFd: number): Buffer {
  const fd = check(libbpf().bpf_iter_create(linkFd), () => 'create BPF iterator');
  try {
    const parts: Buffer[] = [];
    for (;;) {
      const part = Buffer.allocUnsafe(READ_SIZE);
      const length = readIterator(fd, part);
      if (length === 0) return Buffer.concat(parts);
      parts.push(part.subarray(0, length));
    }
  } finally {
    closeSync(fd);
  }
}

/** EAGAIN: the kernel visited a million objects without output and wants to be called again. */
function readIterator(fd: number, into: Buffer): number {
  for (;;) {
    try {
      return readSync(fd, into, 0, into.length, null);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== 'EAGAIN' && code !== 'EINTR') throw error;
    }
  }
}
