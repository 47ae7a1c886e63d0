/** bpf_tc_* of libbpf (clsact qdisc and its cls_bpf filters), and the lists that it lacks. Offsets: bpf/libbpf.h 1.1. */
import { captured } from './capture.ts';
import { BpfError, EEXIST, EINVAL, ENOENT, EPERM } from './error.ts';
import { libbpf } from './libbpf.ts';
import { attributes, routeDump } from './netlink.ts';
import { Struct } from './opts.ts';

/** enum bpf_tc_attach_point. */
const POINTS = { ingress: 1, egress: 2 } as const;
const BOTH = 3;
const BPF_TC_F_REPLACE = 1;

const RTM_GETQDISC = 38;
const RTM_GETTFILTER = 46;
/** TC_H_CLSACT and the minors of its halves (linux/pkt_sched.h). */
const CLSACT = 0xffff_fff1;
const PARENTS = { ingress: 0xffff_fff2, egress: 0xffff_fff3 } as const;
const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_BPF_NAME = 7;
const TCA_BPF_ID = 11;
const TCMSG = 20;

export type TcDirection = 'ingress' | 'egress';

export interface TcFilterId {
  /** 1 runs first. */
  readonly priority: number;
  readonly handle: number;
}

/** A filter of any kind. */
export interface TcFilter extends TcFilterId {
  /** "bpf", "u32", … */
  readonly kind: string;
  /** Of "bpf" filters: what who attached it calls it ("name:[id]" by libbpf). */
  readonly name?: string;
  readonly programId?: number;
}

/** Makes the interface's clsact qdisc; false if it, or an ingress qdisc, is there. */
export function tcHookCreate(ifindex: number, op: () => string): boolean {
  const hook = hookOf(ifindex, BOTH);
  const { value, log } = captured(() => libbpf().bpf_tc_hook_create(hook.bytes));
  if (value === -EEXIST) return false;
  refuse(value, op, log, { [ENOENT]: 'the kernel has no sch_ingress (CONFIG_NET_SCH_INGRESS)' });
  return true;
}

/** Removes the qdisc with all that is in it; false if there is none. */
export function tcHookDestroy(ifindex: number, op: () => string): boolean {
  const hook = hookOf(ifindex, BOTH);
  const { value, log } = captured(() => libbpf().bpf_tc_hook_destroy(hook.bytes));
  if (value === -ENOENT || value === -EINVAL) return false;
  refuse(value, op, log, {});
  return true;
}

export interface TcAttach extends Partial<TcFilterId> {
  readonly ifindex: number;
  readonly direction: TcDirection;
  readonly programFd: number;
  readonly replace: boolean;
}

/** Priority and handle that were not given are the kernel's choice. */
export function tcAttach({ ifindex, direction, programFd, replace, ...id }: TcAttach, op: () => string): TcFilterId {
  const hook = hookOf(ifindex, POINTS[direction]);
  const opts = optsOf(id)
    .u32(8, programFd)
    .u32(12, replace ? BPF_TC_F_REPLACE : 0);
  const { value, log } = captured(() => libbpf().bpf_tc_attach(hook.bytes, opts.bytes));
  refuse(value, op, log, {
    [ENOENT]: 'the kernel has no cls_bpf (CONFIG_NET_CLS_BPF)',
    [EINVAL]: 'there is no clsact qdisc, or another kind of filter has this priority',
    [EEXIST]: 'another filter has this priority and handle',
  });
  return { handle: opts.view.getUint32(20, true), priority: opts.view.getUint32(24, true) };
}

/** Id of the program; undefined if there is no such filter. */
export function tcQuery(ifindex: number, direction: TcDirection, id: TcFilterId, op: () => string): number | undefined {
  const hook = hookOf(ifindex, POINTS[direction]);
  const opts = optsOf(id);
  const { value, log } = captured(() => libbpf().bpf_tc_query(hook.bytes, opts.bytes));
  if (value === -ENOENT || value === -EINVAL) return undefined; // EINVAL: no qdisc either
  refuse(value, op, log, {});
  return opts.view.getUint32(16, true);
}

/** False if there is no such filter. */
export function tcDetach(ifindex: number, direction: TcDirection, id: TcFilterId, op: () => string): boolean {
  const hook = hookOf(ifindex, POINTS[direction]);
  const opts = optsOf(id);
  const { value, log } = captured(() => libbpf().bpf_tc_detach(hook.bytes, opts.bytes));
  if (value === -ENOENT || value === -EINVAL) return false;
  refuse(value, op, log, {});
  return true;
}

/** In the order in which they run within a priority; handle 0 stands for the priority itself. */
export function tcFilterDump(ifindex: number, direction: TcDirection, op: () => string): TcFilter[] {
  return routeDump(RTM_GETTFILTER, tcmsg(ifindex, PARENTS[direction]), op).map((message) => {
    const found = attributes(message.subarray(TCMSG));
    const kind = text(found.get(TCA_KIND));
    const bpf = kind === 'bpf' ? attributes(found.get(TCA_OPTIONS) ?? Buffer.alloc(0)) : new Map<number, Buffer>();
    const [name, programId] = [bpf.get(TCA_BPF_NAME), bpf.get(TCA_BPF_ID)];
    return {
      ...{ kind, priority: message.readUInt16LE(18), handle: message.readUInt32LE(8) },
      ...(name === undefined ? {} : { name: text(name) }),
      ...(programId === undefined ? {} : { programId: programId.readUInt32LE(0) }),
    };
  });
}

/** Kind of the qdisc that stands where clsact does: "clsact" or "ingress". */
export function tcQdiscKind(ifindex: number, op: () => string): string | undefined {
  for (const message of routeDump(RTM_GETQDISC, tcmsg(ifindex, 0), op))
    if (message.readInt32LE(4) === ifindex && message.readUInt32LE(12) === CLSACT)
      return text(attributes(message.subarray(TCMSG)).get(TCA_KIND));
  return undefined;
}

/** struct bpf_tc_hook: ifindex at 8, attach_point at 12, parent at 16. */
function hookOf(ifindex: number, point: number): Struct {
  return Struct.opts(24).u32(8, ifindex).u32(12, point);
}

/** struct bpf_tc_opts: prog_fd at 8, flags at 12, prog_id at 16, handle at 20, priority at 24. */
function optsOf({ handle = 0, priority = 0 }: Partial<TcFilterId>): Struct {
  return Struct.opts(32).u32(20, handle).u32(24, priority);
}

/** struct tcmsg: ifindex at 4, handle at 8, parent at 12, info (protocol, priority) at 16. */
function tcmsg(ifindex: number, parent: number): Buffer {
  const message = Buffer.alloc(TCMSG);
  message.writeInt32LE(ifindex, 4);
  message.writeUInt32LE(parent, 12);
  return message;
}

function text(bytes: Buffer | undefined): string {
  return bytes?.toString('latin1').replace(/\0.*$/s, '') ?? '';
}

function refuse(result: number, op: () => string, log: string, hints: Readonly<Record<number, string>>): void {
  if (result >= 0) return;
  const hint = -result === EPERM ? 'needs CAP_NET_ADMIN' : hints[-result];
  throw new BpfError(op(), -result, { log, ...(hint === undefined ? {} : { hint }) });
}
