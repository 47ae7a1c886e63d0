/** Hosts whose settings make policy there another than what a simulation or a dry run has compiled. */
import type { Reports } from './reports.ts';

const SHOWN = 10;

const SAYS = {
  never: 'has --enable-policy never: no policy is in force there',
  always: 'has --enable-policy always: what no policy selects is denied there, which is not counted here',
} as const;

/** One line a host and setting, the first ten. */
export function hostNotes(reports: Reports): string[] {
  const all = [...reports.all.values()].flatMap(({ name, report: { mode, settings } }) => [
    ...(mode === undefined || mode === 'enforce' ? [] : [`${name} is in mode ${mode}: nothing is dropped there`]),
    ...(settings === undefined || settings.enablePolicy === 'default'
      ? []
      : [`${name} ${SAYS[settings.enablePolicy]}`]),
  ]);
  return all.length <= SHOWN ? all : [...all.slice(0, SHOWN), `and ${all.length - SHOWN} more like that`];
}
