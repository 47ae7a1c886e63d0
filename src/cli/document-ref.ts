/** Which object a document is about: its noun, and its name as the command line writes it. */
import { POLICY_DOCUMENTS, POLICY_KINDS } from '../api/policy.ts';
import { Failure } from './failure.ts';
import { getNoun, type Noun } from './noun.ts';

export interface ObjectRef {
  readonly noun: Noun;
  readonly ref: string;
}

/** One for a document (also in the envelope of GET), several for a `kind: List`; Failure 2 for a kind that is not known or a document without a name. */
export function refsOfDocument(document: unknown): ObjectRef[] {
  const { kind, metadata, items, document: inner } = toRecord(document) as Record<string, unknown>;
  if (kind === 'List' && Array.isArray(items)) return items.flatMap(refsOfDocument);
  if (inner !== undefined) return refsOfDocument(inner);
  const { namespace, name } = toRecord(metadata) as { namespace?: unknown; name?: unknown };
  const policy = POLICY_KINDS.find((word) => POLICY_DOCUMENTS[word].kind === kind);
  if (policy === undefined && kind !== 'Workload' && kind !== 'Namespace') {
    const known = ['Workload', 'Namespace', ...POLICY_KINDS.map((word) => POLICY_DOCUMENTS[word].kind)].join(', ');
    throw new Failure(2, `kind ${JSON.stringify(kind) ?? '(none)'} is not known (allowed: ${known})`);
  }
  if (typeof name !== 'string' || name === '') throw new Failure(2, `a ${kind} has no metadata.name`);
  const space = typeof namespace === 'string' && namespace !== '' ? namespace : 'default';
  if (policy === undefined) {
    return kind === 'Workload'
      ? [{ noun: getNoun('workload'), ref: `${space}/${name}` }]
      : [{ noun: getNoun('namespace'), ref: name }];
  }
  const ref = POLICY_DOCUMENTS[policy].namespaced ? `${policy}/${space}/${name}` : `${policy}/${name}`;
  return [{ noun: getNoun('policy'), ref }];
}

function toRecord(value: unknown): object {
  return typeof value === 'object' && value !== null ? value : {};
}
