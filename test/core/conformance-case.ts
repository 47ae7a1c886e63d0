/** Rows of the conformance tables (test/conformance/README.md). */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

export {
  type CaseProbe as Probe,
  identityOfAddress,
  type PolicyCase as Case,
  readCase,
} from '../../src/core/policy-case.ts';

export function readTable<T>(name: string): T[] {
  const bytes = readFileSync(new URL(`../conformance/${name}.jsonl.gz`, import.meta.url));
  const lines = gunzipSync(bytes).toString().split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as T);
}
