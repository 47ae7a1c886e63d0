import { release } from 'node:os';

export interface Skip {
  readonly file: string;
  readonly name: string;
  readonly reason: string;
}

/** Reads the lines that `skip()` of test/skip.ts prints: `SKIP <name>: <reason>`; the reason begins with its kind. */
export function parseSkips(file: string, output: string): Skip[] {
  return [...output.matchAll(/^SKIP (.+?): ((?:kernel|root|package|machine): .+)$/gm)].map(([, name, reason]) => ({
    file,
    name: name!,
    reason: reason!,
  }));
}

/** Skips for a feature (`kernel: needs 6.9 …`) that this kernel is new enough to have. */
export function unexcusedSkips(skips: readonly Skip[], running: string = release()): Skip[] {
  return skips.filter(({ reason }) => {
    const needed = /^kernel: needs (\d+)\.(\d+)/.exec(reason);
    const have = /^(\d+)\.(\d+)/.exec(running);
    if (!needed || !have) return false;
    return Number(have[1]) > Number(needed[1]) || (have[1] === needed[1] && Number(have[2]) >= Number(needed[2]));
  });
}
