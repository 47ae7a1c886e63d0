/**
 * How a denial feels to the program that is denied: `eperm` fails at once with EPERM, `refused` with ECONNREFUSED, `timeout` is
 * as if the packets were lost. It changes no verdict.
 *
 * 1. A policy says it by the annotation `postern.dev/deny`; where none that decides does, the host's default holds.
 * 2. Who decides: the deny rules that match; without one, the rules that put the endpoint into default deny in that direction.
 * 3. Where several decide and say different things, the first of DENIALS that one of them says: who is told most clearly wins.
 */
export const DENIALS = ['eperm', 'refused', 'timeout'] as const;
export type Denial = (typeof DENIALS)[number];

/** Absent = none of them says. */
export function clearest(said: readonly (Denial | undefined)[]): { readonly denial?: Denial } {
  const denial = DENIALS.find((candidate) => said.includes(candidate));
  return denial === undefined ? {} : { denial };
}
