/**
 * `labelsFrom`: what a host knows besides the registration, as a part of who it is. The identity has the labels of the
 * workload and, of those named, the ones that the host has (`host:site=fra` beside `user:app=web`) and the ones that the
 * process has which gained the label: one identity for each set of values (match-derived.ts).
 */
import { canonicalLabels, labelKeyProblem, labelValueProblem, splitSource, toLabel } from './label.ts';
import type { MatchClause } from './workload.ts';
import type { Fields } from './workload-fields.ts';

/** The same for every process of a host. */
const OF_HOST: readonly string[] = ['host', 'cloud'];
/** Of one process: a set of values that nobody has had before is known only after its first packet. */
const OF_PROCESS: readonly string[] = ['process', 'systemd', 'container'];
const KEYS: Readonly<Record<string, readonly string[]>> = {
  process: ['exe', 'user', 'package'],
  systemd: ['unit', 'slice'],
};
const NAMES_MAX = 16;
/** Sets of values that one workload may have on one host, and on all hosts together: each is an identity. */
export const SETS_PER_HOST = 32;
export const SETS_PER_WORKLOAD = 256;

/** Reports what is wrong; what it gives back is right only if nothing was. */
export function checkLabelsFrom(fields: Fields, { labelsFrom, addresses }: Record<string, unknown>): string[] {
  const path = '/labelsFrom';
  if (addresses !== undefined)
    fields.bad(path, 'has no meaning beside addresses: no agent knows more of them', labelsFrom);
  if (!fields.texts(path, labelsFrom, NAMES_MAX)) return [];
  for (const [i, name] of labelsFrom.entries()) {
    const { source, key } = splitSource(name, '');
    if (![...OF_HOST, ...OF_PROCESS].includes(source) || labelKeyProblem(key) !== undefined)
      fields.bad(`${path}/${i}`, 'must be the name of a label that hosts derive', name, EXAMPLES);
    else if (KEYS[source]?.includes(key) === false)
      fields.bad(`${path}/${i}`, `must be one of ${KEYS[source].map((one) => `${source}:${one}`).join(', ')}`, name);
    else if (source === 'cloud' && !key.startsWith('tag/'))
      fields.bad(`${path}/${i}`, `must be cloud:tag/KEY, for example cloud:tag/${key}`, name);
    else if (labelsFrom.indexOf(name) < i) fields.bad(`${path}/${i}`, 'is there twice', name);
  }
  return labelsFrom;
}

const EXAMPLES = [
  ...['host:site', 'cloud:tag/env', 'process:exe', 'process:user', 'process:package', 'systemd:unit', 'systemd:slice'],
  ...['container:name', 'container:image', 'container:com.example.team'],
];

/** Does it name labels of processes? */
export function asksProcesses(labelsFrom: readonly string[] | undefined): boolean {
  return labelsFrom?.some((name) => OF_PROCESS.includes(splitSource(name, '').source)) ?? false;
}

/** Is it of a program? Only a clause that names processes at their exec knows which: in a unit there are many. */
export function isOfProgram(name: string): boolean {
  return splitSource(name, '').source === 'process';
}

/** Reports names of which no clause of `match` can tell the value; warns of clauses that cannot. */
export function checkPrograms(fields: Fields, labelsFrom: readonly string[], match: readonly MatchClause[]): string[] {
  return labelsFrom.flatMap((name, i) => {
    const blind = match.flatMap(({ process, listen }, at) =>
      listen !== undefined || (isOfProgram(name) && process === undefined) ? [`match[${at}]`] : [],
    );
    if (!asksProcesses([name]) || blind.length === 0) return [];
    const why = `${blind.join(', ')} ${blind.length === 1 ? 'names' : 'name'} a place or a port, not a program`;
    if (blind.length < match.length) return [`${name} of labelsFrom adds nothing where ${why}`];
    fields.bad(`/labelsFrom/${i}`, `${why}: add process, for example process.user`, name);
    return [];
  });
}

/**
 * Of one process: those of `derived` that `labelsFrom` names, as a selector can name them, canonical. A path is written as
 * AppArmor writes it (`usr.sbin.nginx`), another character that a selector lacks is `_`. What does not fit then adds nothing.
 */
export function valuesOf(labelsFrom: readonly string[], derived: readonly string[]): string[] {
  const values = derived.flatMap((text) => {
    const { source, key, value } = toLabel(text);
    if (!OF_PROCESS.includes(source) || !labelsFrom.includes(`${source}:${key}`)) return [];
    const said = value
      .replace(/^\/+/, '')
      .replaceAll('/', '.')
      .replace(/[^-A-Za-z0-9_.]/g, '_');
    return labelValueProblem(said) === undefined ? [{ source, key, value: said }] : [];
  });
  return canonicalLabels(values);
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
  const isDerived = (text: string) => [...OF_HOST, ...OF_PROCESS].includes(toLabel(text).source);
  return { registered: labels.filter((text) => !isDerived(text)), derived: labels.filter(isDerived) };
}
