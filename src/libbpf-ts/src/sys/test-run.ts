/** BPF_PROG_TEST_RUN: runs a loaded program on given bytes. */
import { check } from './error.ts';
import { libbpf } from './libbpf.ts';
import { Struct } from './opts.ts';

export interface TestRunOptions {
  /** Packet for skb and XDP programs (>= 14 bytes), arguments for syscall programs go in `contextIn`. */
  readonly dataIn?: Uint8Array;
  readonly dataOutSize?: number;
  readonly contextIn?: Uint8Array;
  readonly contextOutSize?: number;
  /** Above 1 an XDP run costs 16-24 ms per call (dispatcher patching). */
  readonly repeat?: number;
  readonly flags?: number;
  readonly cpu?: number;
}

export interface TestRunResult {
  readonly retval: number;
  /** Mean of one run. */
  readonly durationNs: number;
  readonly dataOut: Buffer | undefined;
  readonly contextOut: Buffer | undefined;
}

export function testRun(programFd: number, name: string, options: TestRunOptions): TestRunResult {
  const dataOut = options.dataOutSize ? Buffer.alloc(options.dataOutSize) : undefined;
  const contextOut = options.contextOutSize ? Buffer.alloc(options.contextOutSize) : undefined;
  // struct bpf_test_run_opts, 80 bytes.
  const opts = Struct.opts(80)
    .pointer(8, options.dataIn)
    .pointer(16, dataOut)
    .u32(24, options.dataIn?.length ?? 0)
    .u32(28, dataOut?.length ?? 0)
    .pointer(32, options.contextIn)
    .pointer(40, contextOut)
    .u32(48, options.contextIn?.length ?? 0)
    .u32(52, contextOut?.length ?? 0)
    .u32(60, options.repeat ?? 0)
    .u32(68, options.flags ?? 0)
    .u32(72, options.cpu ?? 0);
  const result = libbpf().bpf_prog_test_run_opts(programFd, opts.bytes);
  opts.release();
  check(result, () => `test-run program "${name}"`);
  return {
    retval: opts.view.getUint32(56, true),
    durationNs: opts.view.getUint32(64, true),
    dataOut: dataOut?.subarray(0, opts.view.getUint32(28, true)),
    contextOut: contextOut?.subarray(0, opts.view.getUint32(52, true)),
  };
}
