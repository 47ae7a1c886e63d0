/**
 * `labelSelector=` in Kubernetes' syntax: `app=web,tier in (a, b),!legacy,env!=dev,x notin (y)`.
 * As there, `!=` and `notin` also hold where the key is absent.
 */
import type { Result } from '../core/problem.ts';
import { isLabelKey, isLabelValue } from './name.ts';

export type Requirement =
  | { readonly key: string; readonly operator: 'in' | 'notin'; readonly values: readonly string[] }
  | { readonly key: string; readonly operator: 'exists' | 'absent' };

const REQUIREMENT =
  /^\s*(?:(?<not>!)\s*(?<absent>[^\s!=,()]+)|(?<key>[^\s!=,()]+)(?:\s*(?<op>==|!=|=)\s*(?<value>[^\s!=,()]*)|\s+(?<set>in|notin)\s*\((?<values>[^()]*)\))?)\s*(?:,|$)/;

export function parseLabelSelector(text: string): Result<Requirement[]> {
  const requirements: Requirement[] = [];
  let rest = text;
  while (rest.trim() !== '') {
    const match = REQUIREMENT.exec(rest);
    if (match === null) return refused(text, `cannot read "${rest.trim()}", write for example app=web,tier in (a,b)`);
    const requirement = toRequirement(match.groups!);
    if (!isLabelKey(requirement.key)) return refused(text, `"${requirement.key}" is not a label key`);
    const values = 'values' in requirement ? requirement.values : [];
    const wrong = values.find((value) => !isLabelValue(value));
    if (wrong !== undefined) return refused(text, `"${wrong}" is not a label value`);
    requirements.push(requirement);
    rest = rest.slice(match[0].length);
  }
  return { ok: true, value: requirements };
}

export function selectsLabels(requirements: readonly Requirement[], labels: Readonly<Record<string, string>>): boolean {
  return requirements.every((requirement) => isMet(requirement, labels));
}

function isMet(requirement: Requirement, labels: Readonly<Record<string, string>>): boolean {
  const value = Object.hasOwn(labels, requirement.key) ? labels[requirement.key] : undefined;
  switch (requirement.operator) {
    case 'exists':
      return value !== undefined;
    case 'absent':
      return value === undefined;
    case 'in':
      return value !== undefined && requirement.values.includes(value);
    case 'notin':
      return value === undefined || !requirement.values.includes(value);
  }
}

function toRequirement(groups: Record<string, string | undefined>): Requirement {
  if (groups.absent !== undefined) return { key: groups.absent, operator: 'absent' };
  const key = groups.key!;
  if (groups.set !== undefined) {
    return {
      key,
      operator: groups.set as 'in' | 'notin',
      values: groups.values!.split(',').map((part) => part.trim()),
    };
  }
  if (groups.op === undefined) return { key, operator: 'exists' };
  return { key, operator: groups.op === '!=' ? 'notin' : 'in', values: [groups.value ?? ''] };
}

function refused(text: string, message: string): Result<never> {
  return { ok: false, status: 400, errors: [{ path: '', message, value: text }] };
}
