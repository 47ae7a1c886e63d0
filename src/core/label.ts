import type { Result } from './problem.ts';

/**
 * One label of an identity: `source:key=value`. A value that is empty is written without `=` (`reserved:host`).
 * Values compare as text. The same key may come from several sources (`user:app`, `container:app`).
 */
export interface Label {
  readonly source: string;
  readonly key: string;
  readonly value: string;
}

export const NAMESPACE_KEY = 'io.kubernetes.pod.namespace';
export const CLUSTER_KEY = 'io.cilium.k8s.policy.cluster';
export const NAMESPACE_LABELS_PREFIX = 'io.cilium.k8s.namespace.labels.';
export const NAMESPACE_NAME_LABEL = 'kubernetes.io/metadata.name';

/** Sources that an identity's labels can have. `any` is for selectors only. */
export const LABEL_SOURCES = [
  'user',
  'host',
  'cloud',
  'systemd',
  'container',
  'process',
  'k8s',
  'reserved',
  'cidr',
  'fqdn',
  'node',
] as const;

export function formatLabel(label: Label): string {
  return label.value === '' ? `${label.source}:${label.key}` : `${label.source}:${label.key}=${label.value}`;
}

/** Reads `source:key=value`, `source:key` and `key=value`; the last has source `defaultSource`. Never fails. */
export function toLabel(text: string, defaultSource = 'unspec'): Label {
  const equals = text.indexOf('=');
  const name = equals < 0 ? text : text.slice(0, equals);
  const value = equals < 0 ? '' : text.slice(equals + 1);
  return { ...splitSource(name, defaultSource), value };
}

/** `k8s:app` → source k8s, key app. Only the first colon counts: `cidr:2001:db8::/32` is the key `2001:db8::/32`. */
export function splitSource(name: string, defaultSource: string): { source: string; key: string } {
  const colon = name.indexOf(':');
  return colon < 0
    ? { source: defaultSource, key: name }
    : { source: name.slice(0, colon), key: name.slice(colon + 1) };
}

/** Reads one label that a person wrote and checks it as Kubernetes does. */
export function parseLabel(text: string, defaultSource = 'user'): Result<Label> {
  const label = toLabel(text, defaultSource);
  const message = labelKeyProblem(label.key) ?? labelValueProblem(label.value);
  return message ? { ok: false, errors: [{ path: '', message, value: text }] } : { ok: true, value: label };
}

/** Canonical order: by the text, code unit by code unit, without duplicates. */
export function canonicalLabels(labels: readonly (string | Label)[]): string[] {
  const texts = labels.map((label) => formatLabel(typeof label === 'string' ? toLabel(label) : label));
  return [...new Set(texts)].sort();
}

/** The labels of a workload's identity, canonical. Labels of its namespace are added when policy is compiled. */
export function workloadLabels(
  namespace: string,
  labels: Readonly<Record<string, string>>,
  clusterName = 'default',
): string[] {
  return canonicalLabels([
    ...Object.entries(labels).map(([key, value]) => ({ source: 'user', key, value })),
    { source: 'k8s', key: NAMESPACE_KEY, value: namespace },
    { source: 'k8s', key: CLUSTER_KEY, value: clusterName },
  ]);
}

/** The labels of a host's own processes, which host policies select by. */
export function hostIdentityLabels(labels: Readonly<Record<string, string>>, clusterName = 'default'): string[] {
  return canonicalLabels([
    'reserved:host',
    ...Object.entries(labels).map(([key, value]) => ({ source: 'k8s', key, value })),
    { source: 'k8s', key: CLUSTER_KEY, value: clusterName },
  ]);
}

const NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

export function isDnsLabel(text: string): boolean {
  return text.length <= 63 && DNS_LABEL.test(text);
}

export function isDnsSubdomain(text: string): boolean {
  return text.length <= 253 && DNS_SUBDOMAIN.test(text);
}

/** Kubernetes' qualified name: an optional DNS prefix and `/`, then at most 63 letters, digits, `-`, `_`, `.`. */
export function labelKeyProblem(key: string): string | undefined {
  const slash = key.indexOf('/');
  const name = key.slice(slash + 1);
  if (key === '') return 'label key is empty';
  if (slash >= 0 && !isDnsSubdomain(key.slice(0, slash)))
    return `label key "${key}": the part before "/" must be a DNS name`;
  if (name.length > 63) return `label key "${key}": the name is longer than 63 characters`;
  if (!NAME.test(name)) {
    return `label key "${key}": must be letters, digits, "-", "_" and ".", beginning and ending with a letter or digit`;
  }
  return undefined;
}

/** Kubernetes' label value: empty, or at most 63 letters, digits, `-`, `_`, `.`. */
export function labelValueProblem(value: string): string | undefined {
  if (value.length > 63) return `label value "${value}" is longer than 63 characters`;
  if (value !== '' && !NAME.test(value)) {
    return `label value "${value}": must be letters, digits, "-", "_" and ".", beginning and ending with a letter or digit`;
  }
  return undefined;
}
