import { formatLabel, type Label, splitSource, toLabel } from './label.ts';

/**
 * A label selector as a list of requirements, all of which must hold; an empty list selects everything.
 *
 * 1. A key without a source, or with source `any`, looks at labels of every source.
 * 2. Source `k8s` looks at labels of source `k8s` and `user`: what a user registers here is what a pod's labels are there.
 * 3. Every other source looks at its own labels only.
 * 4. `In` holds if some label with that key has a listed value; `Exists` if there is such a label.
 * 5. `NotIn` and `DoesNotExist` are the opposites: they hold where the key is absent.
 */
export interface Selector {
  readonly requirements: readonly Requirement[];
}

export type Operator = 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
export const OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const;

export interface Requirement {
  readonly source: string;
  readonly key: string;
  readonly operator: Operator;
  /** Sorted; empty for Exists and DoesNotExist. */
  readonly values: readonly string[];
}

export const EVERYTHING: Selector = { requirements: [] };

/** Labels prepared for many questions: key → the labels with that key. */
export type LabelIndex = ReadonlyMap<string, readonly Label[]>;

export function indexLabels(labels: readonly string[]): LabelIndex {
  const index = new Map<string, Label[]>();
  for (const text of labels) {
    const label = toLabel(text);
    const same = index.get(label.key);
    if (same) same.push(label);
    else index.set(label.key, [label]);
  }
  return index;
}

export function selects(selector: Selector, labels: LabelIndex): boolean {
  return selector.requirements.every((requirement) => holds(requirement, labels));
}

function holds(requirement: Requirement, labels: LabelIndex): boolean {
  const found = (labels.get(requirement.key) ?? []).filter((label) => sourceMatches(requirement.source, label.source));
  switch (requirement.operator) {
    case 'In':
      return found.some((label) => requirement.values.includes(label.value));
    case 'NotIn':
      return !found.some((label) => requirement.values.includes(label.value));
    case 'Exists':
      return found.length > 0;
    case 'DoesNotExist':
      return found.length === 0;
  }
}

function sourceMatches(wanted: string, source: string): boolean {
  return wanted === 'any' || wanted === source || (wanted === 'k8s' && source === 'user');
}

/** `source:key` of a requirement, from what was written: no source means any. */
export function requirementOf(name: string, operator: Operator, values: readonly string[]): Requirement {
  return { ...splitSource(name, 'any'), operator, values: [...new Set(values)].sort() };
}

export function and(selector: Selector, ...more: readonly Requirement[]): Selector {
  return { requirements: [...selector.requirements, ...more] };
}

export function mentions(selector: Selector, match: (requirement: Requirement) => boolean): boolean {
  return selector.requirements.some(match);
}

/** Equal selectors have equal text: requirements in canonical order. */
export function formatSelector(selector: Selector): string {
  return selector.requirements.map(formatRequirement).sort().join(',');
}

function formatRequirement({ source, key, operator, values }: Requirement): string {
  const name = formatLabel({ source, key, value: '' });
  switch (operator) {
    case 'In':
      return values.length === 1 ? `${name}=${values[0]}` : `${name} in (${values.join(',')})`;
    case 'NotIn':
      return values.length === 1 ? `${name}!=${values[0]}` : `${name} notin (${values.join(',')})`;
    case 'Exists':
      return name;
    case 'DoesNotExist':
      return `!${name}`;
  }
}
