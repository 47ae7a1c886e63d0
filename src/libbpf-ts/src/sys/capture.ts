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

let lines: string[] = [];
let lowest = WARN;
let callback: Pointer | undefined;

/** Runs `call`; `errno` is its errno (pointer functions return NULL + errno), `log` what libbpf printed. */
export function captured<T>(call: () => T, verbose = false): { value: T; errno: number; log: string } {
  const { libbpf_set_print } = libbpf();
  lines = [];
  lowest = verbose ? DEBUG : WARN;
  libbpf_set_print(printCallback());
  try {
    const value = call();
    return { value, errno: koffi.errno(), log: lines.join('') };
  } finally {
    libbpf_set_print(null);
    lines = [];
  }
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
  if (level > lowest) return 0;
  const errno = koffi.errno();
  const out: [Pointer | null] = [null];
  const length = libc.vasprintf(out, format, args);
  const text = out[0];
  if (length >= 0 && text !== null) {
    lines.push(koffi.decode.string(text, length));
    libc.free(text);
  }
  koffi.errno(errno);
  return length;
}
