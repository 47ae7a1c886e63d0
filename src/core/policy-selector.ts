/** Reads a Kubernetes LabelSelector object; keys may carry a source (`k8s:app`, `any:app`, `reserved:host`). */
import { labelKeyProblem, labelValueProblem, splitSource } from './label.ts';
import {
  at,
  type FieldTable,
  type Report,
  readEach,
  readFields,
  readList,
  readString,
  refuse,
} from './policy-fields.ts';
import { OPERATORS, type Operator, type Requirement, requirementOf, type Selector } from './selector.ts';

const SELECTOR: FieldTable = { known: ['matchLabels', 'matchExpressions'] };
const EXPRESSION: FieldTable = { known: ['key', 'operator', 'values'] };

/** @param prefix the source of every key, e.g. `k8s:`; without one, keys may carry their own */
export function parseSelector(report: Report, path: string, value: unknown, prefix = ''): Selector | undefined {
  const fields = readFields(report, path, value, SELECTOR);
  if (!fields) return undefined;
  const labels = matchLabels(report, at(path, 'matchLabels'), fields.matchLabels, prefix);
  const expressions = readEach(report, at(path, 'matchExpressions'), fields.matchExpressions, (here, expression) =>
    matchExpression(report, here, expression, prefix),
  );
  return { requirements: [...labels, ...(expressions ?? [])] };
}

function matchLabels(report: Report, path: string, value: unknown, prefix: string): Requirement[] {
  if (value === undefined) return [];
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    refuse(report, path, 'must be an object of labels', value);
    return [];
  }
  return Object.entries(value).flatMap(([key, member]) => {
    const here = at(path, key);
    checkKey(report, here, key, prefix);
    const label = readString(report, here, member);
    if (label === undefined || !checkValue(report, here, label)) return [];
    return [requirementOf(withPrefix(key, prefix), 'In', [label])];
  });
}

function matchExpression(report: Report, path: string, value: unknown, prefix: string): Requirement | undefined {
  const fields = readFields(report, path, value, EXPRESSION);
  if (!fields) return undefined;
  const key =
    fields.key === undefined
      ? refuse(report, at(path, 'key'), 'key is required')
      : readString(report, at(path, 'key'), fields.key);
  const operator = OPERATORS.find((name) => name === fields.operator);
  if (key !== undefined) checkKey(report, at(path, 'key'), key, prefix);
  if (!operator) return refuse(report, at(path, 'operator'), 'unknown operator', fields.operator, OPERATORS);
  const values = readValues(report, path, fields.values, operator);
  return key === undefined || !values ? undefined : requirementOf(withPrefix(key, prefix), operator, values);
}

function readValues(report: Report, path: string, value: unknown, operator: Operator): string[] | undefined {
  const here = at(path, 'values');
  const list = value === undefined ? [] : readList(report, here, value);
  if (!list) return undefined;
  const takesValues = operator === 'In' || operator === 'NotIn';
  if (takesValues && list.length === 0) return refuse(report, here, `${operator} needs at least one value`, value);
  if (!takesValues && list.length > 0) return refuse(report, here, `${operator} takes no values`, value);
  const values = list.flatMap((member, i) => {
    const text = readString(report, at(here, i), member);
    return text !== undefined && checkValue(report, at(here, i), text) ? [text] : [];
  });
  return values.length === list.length ? values : undefined;
}

/** Cilium checks a key with its source before it (`any.app`), which therefore counts among the 63 characters. */
function checkKey(report: Report, path: string, key: string, prefix: string): void {
  const { source, key: bare } = splitSource(withPrefix(key, prefix), 'any');
  const problem =
    source === ''
      ? `label key "${key}": the source before ":" is empty`
      : (labelKeyProblem(bare) ?? withSource(source, bare));
  if (problem) refuse(report, path, problem, key);
}

function withSource(source: string, key: string): string | undefined {
  return labelKeyProblem(`${source}.${key}`) && `label key "${source}:${key}" is too long or has an unusual source`;
}

function checkValue(report: Report, path: string, value: string): boolean {
  const problem = labelValueProblem(value);
  if (problem) refuse(report, path, problem, value);
  return problem === undefined;
}

/** `$host` is an old way to write `reserved:host`. */
function withPrefix(key: string, prefix: string): string {
  return prefix === '' && key.startsWith('$') ? `reserved:${key.slice(1)}` : prefix + key;
}
