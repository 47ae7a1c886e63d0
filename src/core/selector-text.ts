/**
 * Kubernetes' label selector syntax as it stands in a URL (`?labelSelector=`): requirements separated by commas, all
 * of which must hold: `a=b` `a==b` `a!=b` `a in (b,c)` `a notin (b,c)` `a` `!a`. Keys may carry a source: `user:app`.
 */
import { labelKeyProblem, labelValueProblem, splitSource } from './label.ts';
import type { Result } from './problem.ts';
import { type Operator, type Requirement, requirementOf, type Selector } from './selector.ts';

const SYNTAX = ['a=b', 'a!=b', 'a in (b,c)', 'a notin (b,c)', 'a', '!a'];

/** Empty text selects everything. */
export function parseSelectorText(text: string): Result<Selector> {
  const requirements: Requirement[] = [];
  for (const { part, column } of text.trim() === '' ? [] : splitAtCommas(text)) {
    const parsed = parseRequirement(part.trim());
    if (typeof parsed === 'string') {
      return { ok: false, status: 400, errors: [{ path: '', message: parsed, value: text, allowed: SYNTAX, column }] };
    }
    requirements.push(parsed);
  }
  return { ok: true, value: { requirements } };
}

/** Commas in parentheses separate values. `column` counts from 1. */
function splitAtCommas(text: string): { part: string; column: number }[] {
  const parts: { part: string; column: number }[] = [];
  let start = 0;
  let open = false;
  for (let i = 0; i <= text.length; i++) {
    if (text[i] === '(') open = true;
    else if (text[i] === ')') open = false;
    else if (i === text.length || (text[i] === ',' && !open)) {
      parts.push({ part: text.slice(start, i), column: start + 1 });
      start = i + 1;
    }
  }
  return parts;
}

/** The requirement, or what is wrong with it. */
function parseRequirement(text: string): Requirement | string {
  const set = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(text);
  if (set) {
    const values = set[3]!.split(',').map((value) => value.trim());
    return checked(set[1]!, set[2] === 'in' ? 'In' : 'NotIn', values);
  }
  const equality = /^([^\s=!<>()]+)\s*(==|=|!=)\s*([^\s=!<>()]*)$/.exec(text);
  if (equality) return checked(equality[1]!, equality[2] === '!=' ? 'NotIn' : 'In', [equality[3]!]);
  const existence = /^(!?)\s*([^\s=!<>()]+)$/.exec(text);
  if (existence) return checked(existence[2]!, existence[1] === '!' ? 'DoesNotExist' : 'Exists', []);
  return text === '' ? 'empty requirement in label selector' : `cannot read "${text}" in label selector`;
}

function checked(name: string, operator: Operator, values: readonly string[]): Requirement | string {
  const { source, key } = splitSource(name, 'any');
  if (source === '') return `label key "${name}": the source before ":" is empty`;
  return (
    labelKeyProblem(key) ??
    values.map(labelValueProblem).find((problem) => problem !== undefined) ??
    requirementOf(name, operator, values)
  );
}
