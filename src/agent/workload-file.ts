import * as v from 'valibot';
import { check, object, oneOf } from '../api/check.ts';
import { type Format, locateErrors, type ParsedDocument, parseDocuments } from '../api/document.ts';
import type { HostWorkload } from '../api/host-workload.ts';
import type { FieldError } from '../core/problem.ts';
import { validateWorkload, type Workload } from '../core/workload.ts';

export type ReadFile =
  | { readonly ok: true; readonly workloads: readonly HostWorkload[] }
  /** Each with its place in the file. */
  | { readonly ok: false; readonly problems: readonly string[] };

const Document = object({
  apiVersion: oneOf(['postern.dev/v1']),
  kind: oneOf(['Workload']),
  metadata: object({ namespace: v.string(), name: v.string() }),
  spec: v.unknown(),
});

/** The text of one file of `workloads.d`: the documents that `postern apply` takes, of kind Workload. All or nothing. */
export function readWorkloadFile(file: string, text: string): ReadFile {
  const format: Format = file.endsWith('.json') ? 'json' : 'yaml';
  const parsed = parseDocuments(text, format);
  if (!parsed.ok) return { ok: false, problems: parsed.errors.map(problemText) };
  const workloads: HostWorkload[] = [];
  const problems: string[] = [];
  for (const document of parsed.value) {
    const read = readDocument(document);
    if ('length' in read) problems.push(...locateErrors(read, document).map(problemText));
    else if (workloads.some(({ namespace, name }) => namespace === read.namespace && name === read.name))
      problems.push(`${read.namespace}/${read.name} is there twice`);
    else workloads.push({ ...(read as HostWorkload), file });
  }
  return problems.length > 0 ? { ok: false, problems } : { ok: true, workloads };
}

function readDocument(document: ParsedDocument): Workload | readonly FieldError[] {
  const shape = check(Document, document.value);
  if (!shape.ok) return shape.errors;
  const { metadata, spec } = shape.value;
  const result = validateWorkload(metadata.namespace, metadata.name, spec);
  const inSpec = ({ path }: FieldError) => (/^\/(namespace|name)$/.test(path) ? `/metadata${path}` : `/spec${path}`);
  if (!result.ok) return result.errors.map((error) => ({ ...error, path: inSpec(error) }));
  if (result.value.addresses !== undefined)
    return [{ path: '/spec/addresses', message: 'is the same for every host: register it with the control plane' }];
  return result.value;
}

/** `line 3:5 /spec/match/process/exe "nginx": must be an absolute path` */
function problemText({ path, message, value, line, column }: FieldError): string {
  const at = line === undefined ? '' : `line ${line}${column === undefined ? '' : `:${column}`} `;
  const shown = value === undefined || typeof value === 'object' ? '' : ` ${JSON.stringify(value)}`;
  return `${at}${path}${shown}: ${message}`;
}
