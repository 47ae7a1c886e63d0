import type { Fields } from './workload-fields.ts';

/** Which hosts a registration is for, in the words of Kubernetes: all of it must hold. */
export interface HostSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly HostExpression[];
}

export interface HostExpression {
  readonly key: string;
  readonly operator: (typeof OPERATORS)[number];
  /** For In and NotIn. */
  readonly values?: readonly string[];
}

const OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const;

/** Absent selects every host, as does one that asks nothing. NotIn and DoesNotExist hold where the key is absent. */
export function selectsHost(selector: HostSelector | undefined, labels: Readonly<Record<string, string>>): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector ?? {};
  const labelOf = (key: string): string | undefined => (Object.hasOwn(labels, key) ? labels[key] : undefined);
  return (
    Object.entries(matchLabels).every(([key, value]) => labelOf(key) === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labelOf(key);
      if (operator === 'Exists') return value !== undefined;
      if (operator === 'DoesNotExist') return value === undefined;
      return (value !== undefined && values.includes(value)) === (operator === 'In');
    })
  );
}

/** Is there no host, whatever its labels, that both select? Told key by key: what the two want of one label. */
export function areDisjoint(a: HostSelector | undefined, b: HostSelector | undefined): boolean {
  const wants = [...wantsOf(a), ...wantsOf(b)];
  return [...new Set(wants.map(({ key }) => key))].some((key) => !isPossible(wants.filter((want) => want.key === key)));
}

/** Of one label: present or absent, and if present one of `values` (absent = any) and none of `not`. */
interface Want {
  readonly key: string;
  readonly present?: boolean;
  readonly values?: readonly string[];
  readonly not?: readonly string[];
}

function wantsOf(selector: HostSelector | undefined): Want[] {
  const { matchLabels = {}, matchExpressions = [] } = selector ?? {};
  return [
    ...Object.entries(matchLabels).map(([key, value]) => ({ key, present: true, values: [value] })),
    ...matchExpressions.map(({ key, operator, values = [] }): Want => {
      if (operator === 'In') return { key, present: true, values };
      if (operator === 'NotIn') return { key, not: values };
      return { key, present: operator === 'Exists' };
    }),
  ];
}

function isPossible(wants: readonly Want[]): boolean {
  const present = wants.some((want) => want.present === true);
  if (!present) return true; // absent satisfies NotIn and DoesNotExist
  if (wants.some((want) => want.present === false)) return false;
  const lists = wants.flatMap(({ values }) => (values === undefined ? [] : [values]));
  const not = new Set(wants.flatMap((want) => want.not ?? []));
  const [first, ...others] = lists;
  return first === undefined || first.some((value) => !not.has(value) && others.every((list) => list.includes(value)));
}

/** Reports what is wrong with `hosts`. */
export function checkHosts(fields: Fields, value: unknown): void {
  if (!fields.object('/hosts', value, ['matchLabels', 'matchExpressions'], [])) return;
  const { matchLabels, matchExpressions } = value;
  if (matchLabels !== undefined) fields.map('/hosts/matchLabels', matchLabels);
  if (matchExpressions === undefined) return;
  if (!Array.isArray(matchExpressions))
    return void fields.bad('/hosts/matchExpressions', 'must be a list', matchExpressions);
  for (const [i, expression] of matchExpressions.entries()) {
    const path = `/hosts/matchExpressions/${i}`;
    if (!fields.object(path, expression, ['key', 'operator', 'values'], [])) continue;
    const { key, operator, values } = expression;
    fields.text(`${path}/key`, key);
    if (!OPERATORS.includes(operator as (typeof OPERATORS)[number]))
      fields.bad(`${path}/operator`, `must be one of ${OPERATORS.join(', ')}`, operator, OPERATORS);
    else if (operator === 'In' || operator === 'NotIn') fields.texts(`${path}/values`, values, 256);
    else if (Array.isArray(values) ? values.length > 0 : values !== undefined)
      fields.bad(`${path}/values`, `has no meaning with ${operator}`, values);
  }
}
