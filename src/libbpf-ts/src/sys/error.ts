/** The two errors of this package. Every failed kernel or libbpf call becomes one of them; nothing here logs. */
import koffi from 'koffi';

const ERRNO_NAMES = new Map<number, string>([
  ...Object.entries(koffi.os.errno).map(([name, number]): [number, string] => [number, name]),
  // Aliases that would otherwise win by order of the table.
  [11, 'EAGAIN'],
  [95, 'EOPNOTSUPP'],
  // Kernel-internal number that leaks to user space: "this map type has no such operation".
  [524, 'ENOTSUPP'],
]);

export const ENOENT = 2;
export const EPERM = 1;
export const EEXIST = 17;
export const EINVAL = 22;
export const ENOSPC = 28;
export const EOPNOTSUPP = 95;
export const ENOTSUPP = 524;

export interface BpfErrorDetail {
  /** What libbpf or the kernel printed while the call ran. */
  readonly log?: string;
  /** What the reader should do or check, one clause. */
  readonly hint?: string;
}

/**
 * A call the kernel refused. `op` says what was tried ('attach program "c4" to cgroup "/x"'),
 * `errno` is the positive number, `code` its name, `log` libbpf's own words (may be empty).
 */
export class BpfError extends Error {
  readonly op: string;
  readonly errno: number;
  readonly code: string;
  readonly #log: string;

  constructor(op: string, errno: number, detail: BpfErrorDetail = {}) {
    const code = errnoName(errno);
    const log = detail.log?.trim() ?? '';
    super(`Cannot ${op}: ${code}${detail.hint ? `, ${detail.hint}` : ''}${log ? `\n${log}` : ''}`);
    this.name = 'BpfError';
    this.op = op;
    this.errno = errno;
    this.code = code;
    this.#log = log;
  }

  get log(): string {
    return this.#log;
  }
}

/** A program the verifier rejected. The message ends with the last log lines; the whole log is in `verifierLog`. */
export class BpfVerifierError extends BpfError {
  readonly program: string;
  readonly #verifierLog: string;
  /** Last source line the verifier named before it gave up, without its leading "; ". */
  readonly sourceLine: string | undefined;

  constructor(program: string, errno: number, verifierLog: string, libbpfLog: string) {
    const lines = verifierLog.trimEnd().split('\n');
    const sourceLine = lines.findLast((line) => line.startsWith('; '))?.slice(2);
    super(`load program "${program}", the verifier rejected it`, errno, {
      ...(sourceLine ? { hint: `near: ${sourceLine}` } : {}),
      log: lines.slice(-12).join('\n') || libbpfLog,
    });
    this.name = 'BpfVerifierError';
    this.program = program;
    this.#verifierLog = verifierLog;
    this.sourceLine = sourceLine;
  }

  get verifierLog(): string {
    return this.#verifierLog;
  }
}

/** 1 -> "EPERM". Numbers without a name become "E<number>". */
export function errnoName(errno: number): string {
  return ERRNO_NAMES.get(errno) ?? `E${errno}`;
}

/** libbpf >= 1.0: functions that return int return -errno. */
export function check(result: number, op: () => string, detail?: BpfErrorDetail): number {
  if (result < 0) throw new BpfError(op(), -result, detail);
  return result;
}

/** libc convention: -1 and errno. Must be called before any other foreign call. */
export function checkErrno(result: number, op: () => string, detail?: BpfErrorDetail): number {
  if (result < 0) throw new BpfError(op(), koffi.errno(), detail);
  return result;
}
