/** bpf_obj_get_info_by_fd for maps, programs and links, and the bpffs calls. Offsets: struct bpf_*_info in linux/bpf.h. */
import { check } from './error.ts';
import { libbpf } from './libbpf.ts';
import { Struct } from './opts.ts';

const LINK_TYPES = [
  'unspec',
  'raw_tracepoint',
  'tracing',
  'cgroup',
  'iter',
  'netns',
  'xdp',
  'perf_event',
  'kprobe_multi',
  'struct_ops',
  'netfilter',
  'tcx',
  'uprobe_multi',
  'netkit',
  'sockmap',
] as const;

export interface MapInfo {
  readonly type: number;
  readonly id: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  /** At most 15 characters: the kernel cuts. */
  readonly name: string;
}

export interface ProgramInfo {
  readonly type: number;
  readonly id: number;
  readonly name: string;
  /** Hash of the instructions, hex. Equal for equal code with equal constants. */
  readonly tag: string;
  /** Instructions as loaded, after the verifier's rewrites. */
  readonly instructions: number;
  /** Bytes of machine code; 0 without a JIT. */
  readonly machineBytes: number;
  /** Instructions that the verifier walked, every path counted (Linux 5.16; 0 before). */
  readonly verifiedInstructions: number;
}

export interface LinkInfo {
  readonly type: (typeof LINK_TYPES)[number] | `type ${number}`;
  readonly id: number;
  readonly progId: number;
  /** Of cgroup links: inode number of the cgroup directory. 0 after the cgroup is gone or the link was detached. */
  readonly cgroupId?: number;
  /** Number in enum bpf_attach_type; of cgroup, tracing, netns and tcx links. */
  readonly attachType?: number;
  /** Of xdp and tcx links; 0 when the interface is gone. */
  readonly ifindex?: number;
}

export function mapInfo(fd: number): MapInfo {
  const { view, bytes } = info(fd, 96, 'map');
  return {
    type: view.getUint32(0, true),
    id: view.getUint32(4, true),
    keySize: view.getUint32(8, true),
    valueSize: view.getUint32(12, true),
    maxEntries: view.getUint32(16, true),
    flags: view.getUint32(20, true),
    name: cString(bytes, 24, 16),
  };
}

export function programInfo(fd: number): ProgramInfo {
  const { view, bytes } = info(fd, 232, 'program');
  return {
    type: view.getUint32(0, true),
    id: view.getUint32(4, true),
    tag: bytes.toString('hex', 8, 16),
    name: cString(bytes, 64, 16),
    machineBytes: view.getUint32(16, true),
    instructions: view.getUint32(20, true) / 8,
    verifiedInstructions: view.getUint32(216, true),
  };
}

export function linkInfo(fd: number): LinkInfo {
  const { view } = info(fd, 96, 'link');
  const number = view.getUint32(0, true);
  const type = LINK_TYPES[number] ?? (`type ${number}` as const);
  const common = { type, id: view.getUint32(4, true), progId: view.getUint32(8, true) };
  if (type === 'cgroup')
    return { ...common, cgroupId: Number(view.getBigUint64(16, true)), attachType: view.getUint32(24, true) };
  if (type === 'tracing') return { ...common, attachType: view.getUint32(16, true) };
  if (type === 'netns') return { ...common, attachType: view.getUint32(20, true) };
  if (type === 'xdp') return { ...common, ifindex: view.getUint32(16, true) };
  if (type === 'tcx' || type === 'netkit')
    return { ...common, ifindex: view.getUint32(16, true), attachType: view.getUint32(20, true) };
  return common;
}

/** Opens a pinned object; the caller owns the fd. */
export function objGet(path: string): number {
  return check(libbpf().bpf_obj_get(path), () => `open pinned object "${path}"`);
}

/** Pins an object; the file must not exist, its directory must be on a bpffs. */
export function objPin(fd: number, path: string): void {
  check(libbpf().bpf_obj_pin(fd, path), () => `pin object to "${path}"`);
}

function info(fd: number, size: number, what: string): Struct {
  const struct = Struct.zeroed(size);
  const length = new Uint32Array([size]);
  check(libbpf().bpf_obj_get_info_by_fd(fd, struct.bytes, length), () => `read info of ${what} fd ${fd}`);
  return struct;
}

function cString(bytes: Buffer, offset: number, size: number): string {
  const text = bytes.toString('latin1', offset, offset + size);
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}
