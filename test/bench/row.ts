/** One line of the table that `npm run bench` prints at the end. */
export interface Row {
  readonly what: string;
  readonly measured: string;
  /** In the words of the issue, ">= 0.90"; absent = printed only. */
  readonly target?: string;
  readonly met?: boolean;
}

/** Rows travel from the process of a benchmark to run.ts as marked lines of its output. */
export const ROW_MARK = '@row ';

export function report(row: Row): void {
  if (process.env.POSTERN_BENCH === undefined) console.log(toLine(row));
  else console.log(ROW_MARK + JSON.stringify(row));
}

export function toLine({ what, measured, target, met }: Row): string {
  const judged = met === undefined ? '' : met ? 'met' : 'NOT MET';
  return `${what.padEnd(58)} ${measured.padEnd(42)} ${(target ?? '').padEnd(12)} ${judged}`.trimEnd();
}
