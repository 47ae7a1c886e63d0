/** A program of an object, or one opened from a pin. */
import { closeSync, openSync } from 'node:fs';
import { BpfError, EOPNOTSUPP } from '../sys/error.ts';
import type { ProgramInfo } from '../sys/info.ts';
import { objGet, objPin, programInfo } from '../sys/info.ts';
import { interfaceIndex } from '../sys/interface.ts';
import { linkCreate } from '../sys/link.ts';
import type { ProgramHandle } from '../sys/object.ts';
import { tcAttach } from '../sys/tc.ts';
import type { TestRunOptions, TestRunResult } from '../sys/test-run.ts';
import { testRun } from '../sys/test-run.ts';
import { BpfLink } from './link.ts';
import type { TcDirection, TcFilterId } from './tc.ts';
import { clsactKind } from './tc.ts';

/** enum bpf_attach_type, the ones this file uses itself. */
const BPF_TRACE_ITER = 28;
const BPF_XDP = 37;
const BPF_TCX = { ingress: 46, egress: 47 } as const;
const BPF_F_BEFORE = 8;
/** XDP_FLAGS_* of linux/if_link.h. */
const XDP_MODES = { any: 0, skb: 1 << 1, driver: 1 << 2 } as const;

export class BpfProgram implements Disposable {
  readonly name: string;
  /** ELF section, "" if opened from a pin. */
  readonly section: string;
  readonly #handle: ProgramHandle | undefined;
  #fd: number;

  /** Use `BpfObject.program()` or `BpfProgram.openPinned()`. */
  constructor(source: ProgramHandle | number) {
    this.#handle = typeof source === 'number' ? undefined : source;
    this.#fd = typeof source === 'number' ? source : -1;
    this.name = typeof source === 'number' ? programInfo(source).name : source.name;
    this.section = typeof source === 'number' ? '' : source.section;
  }

  /** Opens a pinned program; `attach()` and `attachCgroup()` need the object and are refused. */
  static openPinned(path: string): BpfProgram {
    return new BpfProgram(objGet(path));
  }

  /** Throws if the program is not loaded. */
  get fd(): number {
    const fd = this.#handle?.fd ?? this.#fd;
    if (fd < 0) throw new Error(`BPF program "${this.name}" is not loaded`);
    return fd;
  }

  get autoload(): boolean {
    return this.#handle?.autoload ?? true;
  }

  /** Before load: whether `load()` loads this program. */
  set autoload(autoload: boolean) {
    this.#definition().autoload = autoload;
  }

  info(): ProgramInfo {
    return programInfo(this.fd);
  }

  /** Attaches as the section name says ("tp_btf/sched_process_exec", "iter/tcp", …). */
  attach(): BpfLink {
    const handle = this.#definition();
    this.#requireLoaded();
    return new BpfLink(handle.attach());
  }

  /** Attaches to the cgroup (v2) directory `path`; other programs of the same type keep running (links are "multi"). */
  attachCgroup(path: string, { flags }: { flags?: number } = {}): BpfLink {
    const attachType = this.#definition().expectedAttachType;
    const directory = openSync(path, 'r');
    try {
      return this.#link(directory, attachType, `to cgroup "${path}"`, { flags });
    } finally {
      closeSync(directory);
    }
  }

  /** Attaches to an interface of the current network namespace. Takes about 8 ms in the kernel. */
  attachXdp(ifname: string, { mode = 'any' }: { mode?: keyof typeof XDP_MODES } = {}): BpfLink {
    return this.#link(interfaceIndex(ifname), BPF_XDP, `to XDP of "${ifname}"`, { flags: XDP_MODES[mode] });
  }

  /** After the programs that are there, or `first`, before them. Kernel >= 6.6 (`features().tcx`); for older ones `attachTc`. */
  attachTcx(ifname: string, direction: TcDirection, { first = false }: { first?: boolean } = {}): BpfLink {
    const flags = first ? BPF_F_BEFORE : 0;
    return this.#link(interfaceIndex(ifname), BPF_TCX[direction], `to tc ${direction} of "${ifname}"`, { flags });
  }

  /**
   * As a filter of the interface's clsact qdisc, which must be there (`createClsact`), for all protocols, the program's answer being
   * the action. Stays when this process ends, until `detachTc`. With `replace` the program of the filter with this priority and handle
   * changes without a gap. What is not given is the kernel's choice. Of one priority the filter that came last runs first.
   */
  attachTc(
    ifname: string,
    direction: TcDirection,
    { replace = false, ...id }: Partial<TcFilterId> & { replace?: boolean } = {},
  ): TcFilterId {
    const op = (): string => `attach program "${this.name}" to tc ${direction} of "${ifname}"`;
    // The kernel would take an egress filter, and run it at ingress.
    if (direction === 'egress' && clsactKind(ifname) === 'ingress')
      throw new BpfError(op(), EOPNOTSUPP, { hint: 'its qdisc is an ingress qdisc, which has no egress: use clsact' });
    return tcAttach({ ifindex: interfaceIndex(ifname), direction, programFd: this.fd, replace, ...id }, op);
  }

  /** Link of an "iter/…" program; `pid` limits task iterators to one process (kernel >= 6.1). */
  attachIter({ pid }: { pid?: number } = {}): BpfLink {
    // union bpf_iter_link_info, task: tid at 0, pid at 4, pid_fd at 8.
    const iterInfo = pid === undefined ? undefined : Buffer.alloc(16);
    if (pid !== undefined) iterInfo?.writeUInt32LE(pid, 4);
    return this.#link(0, BPF_TRACE_ITER, pid === undefined ? 'as iterator' : `as iterator of pid ${pid}`, { iterInfo });
  }

  pin(path: string): void {
    objPin(this.fd, path);
  }

  /** Runs the program on given bytes. Not every type can: sockops and sock_addr programs fail with ENOTSUPP. */
  testRun(options: TestRunOptions = {}): TestRunResult {
    return testRun(this.fd, this.name, options);
  }

  /** Only programs opened from a pin own their fd; those of an object are closed with it. */
  close(): void {
    if (this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #link(target: number, attachType: number, where: string, rest: { flags?: number; iterInfo?: Buffer }): BpfLink {
    const op = (): string => `attach program "${this.name}" ${where}`;
    return new BpfLink(linkCreate({ programFd: this.fd, target, attachType, op, ...rest }));
  }

  #requireLoaded(): void {
    void this.fd;
  }

  #definition(): ProgramHandle {
    if (this.#handle === undefined)
      throw new Error(`BPF program "${this.name}" was opened from a pin, not from an object`);
    return this.#handle;
  }
}
