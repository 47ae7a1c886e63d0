import { RingBuffer } from 'libbpf-ts';
import { formatAddress } from '../core/cidr.ts';
import type { Kernel } from './kernel.ts';
import {
  type CgroupEvent,
  cgroupEventCodec,
  EventType,
  type ExecEvent,
  type ExitEvent,
  execEventCodec,
  exitEventCodec,
  type FlowEvent,
  flowEventCodec,
  type ListenEvent,
  listenEventCodec,
} from './postern.skel.ts';

export interface EventHandlers {
  flow(event: FlowEvent): void;
  exec(event: ExecEvent): void;
  exit(event: ExitEvent): void;
  cgroup(event: CgroupEvent): void;
  listen(event: ListenEvent): void;
  /** A record of a type or version that this agent does not know. */
  unknown(type: number, length: number): void;
  error(error: unknown): void;
}

/** Idle pause between looks at the ring, ms: programs do not wake the agent for ordinary events. */
const IDLE_MS = 25;

/** Bytes → events, in the order in which the kernel wrote them. */
export function readEvents(kernel: Kernel, handlers: EventHandlers): RingBuffer {
  const ring = new RingBuffer(
    kernel.events,
    (view, offset, length) => {
      const type = view.getUint8(offset);
      switch (type) {
        case EventType.EVENT_FLOW:
          return handlers.flow(flowEventCodec.decode(view, offset));
        case EventType.EVENT_EXEC:
          return handlers.exec(execEventCodec.decode(view, offset));
        case EventType.EVENT_EXIT:
          return handlers.exit(exitEventCodec.decode(view, offset));
        case EventType.EVENT_CGROUP:
          return handlers.cgroup(cgroupEventCodec.decode(view, offset));
        case EventType.EVENT_LISTEN:
          return handlers.listen(listenEventCodec.decode(view, offset));
        default:
          return handlers.unknown(type, length);
      }
    },
    { pollMs: IDLE_MS, onError: handlers.error },
  );
  return ring.start();
}

/** 16 bytes as text; "" for an address that the hook could not know (all zero). */
export function addressText(bytes: Uint8Array): string {
  return bytes.every((byte) => byte === 0) ? '' : formatAddress(bytes);
}
