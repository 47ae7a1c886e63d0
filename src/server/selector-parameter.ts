import { parseLabelSelector, selectsLabels } from '../api/label-selector.ts';
import type { Request } from './operation.ts';
import { badParameter } from './query.ts';

/** `labelSelector=`, or another parameter, as a question to labels; everything when it is absent. */
export function selectorOf(c: Request, name = 'labelSelector'): (labels: Readonly<Record<string, string>>) => boolean {
  const text = c.req.query(name);
  if (text === undefined) return () => true;
  const result = parseLabelSelector(text);
  if (!result.ok) throw badParameter(name, text, `is not a label selector: ${result.errors[0]!.message}`);
  return (labels) => selectsLabels(result.value, labels);
}
