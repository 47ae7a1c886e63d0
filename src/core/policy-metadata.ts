import type { Denial } from './denial.ts';
import { isDnsLabel, isDnsSubdomain } from './label.ts';
import { annotationsOf, checkAnnotation } from './policy-annotations.ts';
import {
  at,
  type Fields,
  type FieldTable,
  type Report,
  readFields,
  readObject,
  readString,
  refuse,
  typeName,
} from './policy-fields.ts';

const METADATA: FieldTable = {
  known: [
    'name',
    'namespace',
    'labels',
    'annotations',
    // Kubernetes' own: accepted, so that what a cluster gives back can be applied; they mean nothing here.
    'uid',
    'resourceVersion',
    'generation',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
    'managedFields',
    'ownerReferences',
    'finalizers',
    'selfLink',
  ],
  unsupported: { generateName: '' },
};

/** Name and namespace of a document, checked as Kubernetes does. A namespaced document without one is in `default`. */
export function parseMetadata(
  report: Report,
  value: unknown,
  scope: 'namespaced' | 'cluster',
): { name: string; namespace?: string; mode?: 'audit'; denial?: Denial } | undefined {
  const path = '/metadata';
  if (value === undefined) return refuse(report, path, 'metadata is required');
  const fields = readFields(report, path, value, METADATA);
  if (!fields) return undefined;
  checkStrings(report, at(path, 'labels'), fields.labels);
  checkAnnotations(report, at(path, 'annotations'), fields.annotations);
  const name = parseName(report, at(path, 'name'), fields.name);
  const namespace = parseNamespace(report, at(path, 'namespace'), fields.namespace, scope);
  const { mode, deny } = annotationsOf({ metadata: value });
  if (name === undefined) return undefined;
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(mode === 'audit' ? { mode } : {}),
    ...(deny === undefined ? {} : { denial: deny }),
  };
}

function parseName(report: Report, path: string, value: unknown): string | undefined {
  if (value === undefined) return refuse(report, path, 'name is required');
  const name = readString(report, path, value);
  if (name === undefined || isDnsSubdomain(name)) return name;
  return refuse(report, path, 'must be a DNS name: lower case letters, digits, "-" and ".", at most 253', name);
}

function parseNamespace(
  report: Report,
  path: string,
  value: unknown,
  scope: 'namespaced' | 'cluster',
): string | undefined {
  if (scope === 'cluster') {
    return value === undefined
      ? undefined
      : refuse(report, path, 'a CiliumClusterwideNetworkPolicy has no namespace', value);
  }
  const namespace = value === undefined ? 'default' : readString(report, path, value);
  if (namespace === undefined || isDnsLabel(namespace)) return namespace;
  return refuse(report, path, 'must be a DNS label: lower case letters, digits and "-", at most 63', namespace);
}

function checkAnnotations(report: Report, path: string, value: unknown): void {
  const annotations = checkStrings(report, path, value);
  for (const [key, text] of Object.entries(annotations ?? {})) checkAnnotation(report, at(path, key), key, text);
}

function checkStrings(report: Report, path: string, value: unknown): Fields | undefined {
  if (value === undefined) return undefined;
  const object = readObject(report, path, value);
  for (const [key, text] of Object.entries(object ?? {})) {
    if (typeof text !== 'string') refuse(report, at(path, key), `must be a string, not ${typeName(text)}`, text);
  }
  return object;
}
