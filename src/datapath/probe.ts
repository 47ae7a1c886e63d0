import { parseAddress } from '../core/cidr.ts';
import type { Kernel } from './kernel.ts';
import { type VerdictProbe, verdictProbeCodec } from './postern.skel.ts';

export interface Question {
  readonly local: number;
  /** An identity, or the address of somebody outside. */
  readonly remote: number | string;
  readonly direction: 'ingress' | 'egress';
  readonly protocol: number;
  /** 0 where the protocol has none. */
  readonly port: number;
}

const ETHERNET = 14;

/** What the kernel's own tables answer, without traffic. */
export function probeVerdict(kernel: Kernel, question: Question): VerdictProbe {
  const data = new Uint8Array(ETHERNET + verdictProbeCodec.size + 32);
  const view = new DataView(data.buffer);
  verdictProbeCodec.encode(view, ETHERNET, {
    local: question.local,
    remote: typeof question.remote === 'number' ? question.remote : 0,
    addr: typeof question.remote === 'string' ? parseAddress(question.remote)! : new Uint8Array(16),
    port: question.port,
    protocol: question.protocol,
    direction: question.direction === 'ingress' ? 1 : 2,
    allow: 0,
    reason: 0,
    denial: 0,
    pad: 0,
    rule: 0,
    gen: 0,
  });
  const { retval, dataOut } = kernel.programs
    .program('probe_verdict')
    .testRun({ dataIn: data, dataOutSize: data.length });
  if (retval !== 0 || dataOut === undefined) throw new Error(`probe_verdict returned ${retval}`);
  return verdictProbeCodec.decode(new DataView(dataOut.buffer, dataOut.byteOffset, dataOut.byteLength), ETHERNET);
}
