/**
 * `labelsFrom`: what a host knows besides the registration, as a part of who it is. The identity has the labels of the
 * workload and, of those named, the ones that the host has: `host:site=fra` beside `user:app=web`.
 */
import { canonicalLabels, labelKeyProblem, labelValueProblem, splitSource, toLabel } from './label.ts';
import type { Fields } from './workload-fields.ts';

/** The same for every process of a host. */
const OF_HOST: readonly string[] = ['host', 'cloud'];
/** Of one process: they would be known only after its first packet. */
const OF_PROCESS: readonly string[] = ['process', 'systemd', 'container'];
const NAMES_MAX = 16;

/** Reports what is wrong; what it gives back is right only if nothing was. */
export function checkLabelsFrom(fields: Fields, { labelsFrom, addresses }: Record<string, unknown>): string[] {
  const path = '/labelsFrom';
  if (addresses !== undefined)
    fields.bad(path, 'has no meaning beside addresses: no agent knows more of them', labelsFrom);
  if (!fields.texts(path, labelsFrom, NAMES_MAX)) return [];
  for (const [i, name] of labelsFrom.entries()) {
    const { source, key } = splitSource(name, '');
    if (OF_PROCESS.includes(source)) fields.later(`${path}/${i}`, name);
    else if (!OF_HOST.includes(source) || labelKeyProblem(key) !== undefined)
      fields.bad(`${path}/${i}`, 'must be host:KEY or cloud:tag/KEY', name, ['host:site', 'host:os', 'cloud:tag/env']);
    else if (source === 'cloud' && !key.startsWith('tag/'))
      fields.bad(`${path}/${i}`, `must be cloud:tag/KEY, for example cloud:tag/${key}`, name);
    else if (labelsFrom.indexOf(name) < i) fields.bad(`${path}/${i}`, 'is there twice', name);
  }
  return labelsFrom;
}

/** Those of `derived` that `labelsFrom` names and that a selector can name, canonical. */
export function namedBy(labelsFrom: readonly string[], derived: readonly string[]): string[] {
  return canonicalLabels(
    derived.filter((text) => {
      const { source, key, value } = toLabel(text);
      return labelsFrom.includes(`${source}:${key}`) && labelValueProblem(value) === undefined;
    }),
  );
}

/** The labels of an identity: those of its registration, and those that hosts add. */
export function splitDerived(labels: readonly string[]): { registered: string[]; derived: string[] } {
  const isDerived = (text: string) => OF_HOST.includes(toLabel(text).source);
  return { registered: labels.filter((text) => !isDerived(text)), derived: labels.filter(isDerived) };
}
