/** Why a command stops: the exit code with the text for stderr. Thrown by commands, printed by run.ts only. */
export class Failure extends Error {
  readonly exit: Exit;
  /** Lines below the first, already indented. */
  readonly details: readonly string[];

  /** HTTP status, when an answer of the server is the reason. */
  readonly status: number | undefined;

  constructor(exit: Exit, message: string, details: readonly string[] = [], status?: number) {
    super(message);
    this.exit = exit;
    this.details = details;
    this.status = status;
  }
}

/** 1 the answer is no · 2 bad input · 3 cannot reach, or no usable answer · 4 not allowed */
export type Exit = 1 | 2 | 3 | 4;
