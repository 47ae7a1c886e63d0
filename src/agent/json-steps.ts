import type { Steps } from './steps.ts';

/** JSON.stringify for an object with long lists; each of their items is a step. */
export function* jsonSteps(object: object): Steps<string> {
  const fields: string[] = [];
  for (const [name, value] of Object.entries(object)) {
    if (value === undefined) continue;
    fields.push(`${JSON.stringify(name)}:${Array.isArray(value) ? yield* listSteps(value) : JSON.stringify(value)}`);
    yield;
  }
  return `{${fields.join()}}`;
}

function* listSteps(list: readonly unknown[]): Steps<string> {
  const items: string[] = [];
  for (const item of list) {
    items.push(JSON.stringify(item) ?? 'null');
    yield;
  }
  return `[${items.join()}]`;
}
