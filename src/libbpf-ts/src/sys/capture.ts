/**
 * libbpf's messages during one call. `libbpf_set_print` is process-wide, so the callback is installed for the
 * duration of the call and removed after it: a callback left behind by a finished worker aborts the process.
 */
import koffi from 'koffi';
import { libbpf } from './libbpf.ts';
import type { Pointer } from './libc.ts';
import { libc } from './libc.ts';

const WARN = 0;
const DEBUG = 2;

interface Sink {
  readonly lines: string[];
  readonly lowest: number;
}

/** Where messages go now. Undefined: the callback is not installed. */
let sink: Sink | undefined;
let callback: Pointer | undefined;
let queue: Promise<unknown> = Promise.resolve();

/** Runs `call`; `errno` is its errno (pointer functions return NULL + errno), `log` what libbpf printed. */
export function captured<T>(call: () => T, verbose = false): { value: T; errno: number; log: string } {
  // Messages of an asynchronous call reach this thread between turns of the event loop, never in here.
  const outer = sink;
  const own = install(verbose);
  try {
    const value = call();
    return { value, errno: koffi.errno(), log: own.lines.join('') };
  } finally {
    restore(outer);
  }
}

/** The same for a call on a thread of libuv's pool. One at a time: the callback cannot tell two calls apart. */
export function capturedAsync<T>(
  call: (done: (error: unknown, value: T) => void) => void,
  verbose = false,
): Promise<{ value: T; log: string }> {
  const run = (): Promise<{ value: T; log: string }> =>
    new Promise((resolve, reject) => {
      const own = install(verbose);
      call((error, value) => {
        restore(undefined);
        if (error) reject(error);
        else resolve({ value, log: own.lines.join('') });
      });
    });
  const result = queue.then(run);
  queue = result.catch(() => {});
  return result;
}

function install(verbose: boolean): Sink {
  const own = { lines: [], lowest: verbose ? DEBUG : WARN };
  sink = own;
  libbpf().libbpf_set_print(printCallback());
  return own;
}

function restore(outer: Sink | undefined): void {
  sink = outer;
  if (outer === undefined) libbpf().libbpf_set_print(null);
}

function printCallback(): Pointer {
  callback ??= koffi.register(
    print,
    koffi.pointer(koffi.proto('int libbpf_print_fn_t(int level, const void *format, void *args)')),
  );
  return callback;
}

/** The verifier's log is one message of up to megabytes: vasprintf has no limit. */
function print(level: number, format: Pointer, args: Pointer): number {
  if (sink === undefined || level > sink.lowest) return 0;
  const errno = koffi.errno();
  const out: [Pointer | null] = [null];
  const length = libc.vasprintf(out, format, args);
  const text = out[0];
  if (length >= 0 && text !== null) {
    sink.lines.push(koffi.decode.string(text, length));
    libc.free(text);
  }
  koffi.errno(errno);
  return length;
}
