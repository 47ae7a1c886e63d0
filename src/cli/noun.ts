/**
 * The nouns of the REST API: where each lives, how a name is written, what its table and its card show.
 * The generic commands (list, get, put, delete, watch) work from these rows.
 */
import type { Endpoint } from '../api/endpoint.ts';
import type { Host } from '../api/host.ts';
import type { Identity } from '../api/identity.ts';
import type { Namespace } from '../api/namespace.ts';
import { POLICY_KINDS, type Policy, type RuleStatus } from '../api/policy.ts';
import type { Workload } from '../api/workload.ts';
import { clauseText } from './match-text.ts';
import { policyPath, policyRef, refPath } from './noun-ref.ts';
import { age } from './time.ts';

export type NounWord = 'workload' | 'policy' | 'endpoint' | 'identity' | 'host' | 'namespace';

export interface Noun {
  readonly word: NounWord;
  readonly plural: string;
  /** Other words for it, as in kubectl. */
  readonly short?: readonly string[];
  readonly summary: string;
  /** "/v1/workloads" */
  readonly path: string;
  /** How a name is written: "NAMESPACE/NAME". */
  readonly ref: string;
  readonly example: string;
  readonly verbs: readonly ('list' | 'get' | 'put' | 'delete')[];
  /** The path of one object; Failure 2 when `ref` is not written so. */
  readonly pathOf: (ref: string) => string;
  /** Set when an object has no path of its own: how a list is narrowed to find it. */
  readonly findBy?: (ref: string) => readonly (readonly [string, string])[];
  readonly refOf: (object: never) => string;
  readonly columns: readonly Column[];
  /** What the card shows below, as YAML. */
  readonly body?: (object: never) => unknown;
}

export interface Column {
  readonly title: string;
  readonly cell: (object: never, nowMs: number) => string;
  /** Only on the card of one object. */
  readonly card?: true;
}

export const NOUNS: readonly Noun[] = [
  noun<Workload>({
    word: 'workload',
    plural: 'workloads',
    summary: 'who is it? labels, and how a process is recognised',
    path: '/v1/workloads',
    ref: 'NAMESPACE/NAME',
    example: 'shop/frontend',
    verbs: ['list', 'get', 'put', 'delete'],
    pathOf: (ref) => `/v1/workloads/${refPath(ref, 'workload', 2, 'NAMESPACE/NAME', 'shop/frontend')}`,
    refOf: (w) => `${w.namespace}/${w.name}`,
    columns: [
      { title: 'NAME', cell: (w) => `${w.namespace}/${w.name}` },
      { title: 'IDENTITY', cell: (w) => String(w.status.identity) },
      { title: 'ENDPOINTS', cell: (w) => String(w.status.endpoints) },
      { title: 'GRADE', cell: (w) => w.status.grade },
      { title: 'LABELS', cell: (w) => labelsText(w.labels) },
      { title: 'MATCH', cell: (w) => (w.addresses ?? w.match.map(clauseText)).join(' or ') },
      { title: 'PORTS', cell: (w) => labelsText(w.ports ?? {}), card: true },
      { title: 'DESCRIPTION', cell: (w) => w.description ?? '-', card: true },
      { title: 'SPOOFABLE BY', cell: (w) => w.status.spoofable ?? 'nobody', card: true },
      { title: 'CONFLICTS', cell: (w) => list(w.status.conflicts), card: true },
      { title: 'DRIFTED', cell: (w) => String(w.status.drifted), card: true },
      { title: 'EXPECTED', cell: expectedText, card: true },
      { title: 'RUN BY', cell: (w) => list(w.runBy ?? []), card: true },
      { title: 'OPENS', cell: (w) => list((w.opens ?? []).map(openingText)), card: true },
      { title: 'MODE', cell: (w) => w.mode ?? 'enforce', card: true },
      { title: 'WARNINGS', cell: (w) => list(w.status.warnings ?? [], '; '), card: true },
      { title: 'HINT', cell: (w) => w.status.hint ?? '-', card: true },
      { title: 'AGE', cell: (w, nowMs) => age(w.meta.createdAt, nowMs) },
      { title: 'CHANGED', cell: (w, nowMs) => changed(w.meta, nowMs), card: true },
    ],
  }),
  noun<Policy>({
    word: 'policy',
    plural: 'policies',
    short: POLICY_KINDS,
    summary:
      'who may talk? CiliumNetworkPolicy (cnp), CiliumClusterwideNetworkPolicy (ccnp), NetworkPolicy (netpol), CiliumCIDRGroup (ccg)',
    path: '/v1/policies',
    ref: 'KIND/[NAMESPACE/]NAME',
    example: 'cnp/shop/backend',
    verbs: ['list', 'get', 'put', 'delete'],
    pathOf: (ref) => `/v1/policies/${policyPath(ref)}`,
    refOf: policyRef,
    body: (p) => p.document,
    columns: [
      { title: 'NAME', cell: policyRef },
      { title: 'MODE', cell: (p) => p.status.mode },
      { title: 'ENDPOINTS', cell: (p) => String(p.status.selects.endpoints) },
      { title: 'ENFORCED ON', cell: (p) => `${p.status.enforced.hosts} of ${p.status.enforced.of} hosts` },
      { title: 'REVISION', cell: (p) => String(p.meta.revision) },
      { title: 'AGE', cell: (p, nowMs) => age(p.meta.createdAt, nowMs) },
      { title: 'CHANGED', cell: (p, nowMs) => changed(p.meta, nowMs), card: true },
      { title: 'OWNER', cell: (p) => p.status.owner ?? '-', card: true },
      { title: 'EXPIRES', cell: (p) => p.status.expires ?? '-', card: true },
      { title: 'RULES', cell: (p, nowMs) => list(p.status.rules.map((rule) => ruleText(rule, nowMs))), card: true },
      { title: 'WARNINGS', cell: (p) => list(p.status.warnings, '; ') },
    ],
  }),
  noun<Endpoint>({
    word: 'endpoint',
    plural: 'endpoints',
    summary: 'live instances of workloads, and why each has its identity (read only)',
    path: '/v1/endpoints',
    ref: 'HOST/ID',
    example: 'web-1/812-44120',
    verbs: ['list', 'get'],
    pathOf: (ref) => `/v1/endpoints/${refPath(ref, 'endpoint', 2, 'HOST/ID', 'web-1/812-44120')}`,
    findBy: (ref) => [['host', ref.split('/')[0]!]],
    refOf: (e) => e.id,
    columns: [
      { title: 'ID', cell: (e) => e.id },
      { title: 'WORKLOAD', cell: (e) => e.workload },
      { title: 'IDENTITY', cell: (e) => String(e.identity) },
      { title: 'STATE', cell: (e) => e.state },
      { title: 'WHY', cell: whyText },
      { title: 'PROCESSES', cell: (e) => list(e.processes.map((p) => `${p.exe}[${p.pid}]`)) },
      {
        title: 'LISTENS',
        cell: (e) => list((e.listening ?? []).map((l) => `${address(l.address, l.port)}/${l.protocol}`)),
      },
      { title: 'INGRESS', cell: (e) => e.policy?.ingress ?? '-' },
      { title: 'EGRESS', cell: (e) => e.policy?.egress ?? '-' },
      { title: 'REVISION', cell: (e) => String(e.policy?.revision ?? '-'), card: true },
      {
        title: 'CUT',
        cell: (e) => (e.why?.cut ? 'the kernel saw only a part of its arguments or path' : '-'),
        card: true,
      },
      { title: 'CGROUP', cell: (e) => e.cgroup ?? '-', card: true },
      { title: 'LABELS', cell: (e) => list(e.labels ?? []), card: true },
      { title: 'DERIVED', cell: (e) => list(e.derived ?? []), card: true },
      { title: 'USER', cell: (e) => list([...new Set(e.processes.flatMap((p) => p.user ?? []))]), card: true },
    ],
  }),
  noun<Identity>({
    word: 'identity',
    plural: 'identities',
    summary: 'the number for one distinct set of labels (read only)',
    path: '/v1/identities',
    ref: 'NUMBER',
    example: '65792',
    verbs: ['list', 'get'],
    pathOf: (ref) => `/v1/identities/${refPath(ref, 'identity', 1, 'NUMBER', '65792')}`,
    refOf: (i) => String(i.id),
    columns: [
      { title: 'ID', cell: (i) => String(i.id) },
      { title: 'WORKLOADS', cell: (i) => list(i.workloads) },
      { title: 'ENDPOINTS', cell: (i) => String(i.endpoints.length) },
      { title: 'LABELS', cell: (i) => list(i.labels) },
      { title: 'LIVE', cell: (i) => list(i.endpoints), card: true },
    ],
  }),
  noun<Host>({
    word: 'host',
    plural: 'hosts',
    summary: 'hosts whose agents report here (read only)',
    path: '/v1/hosts',
    ref: 'NAME',
    example: 'web-1',
    verbs: ['list', 'get'],
    pathOf: (ref) => `/v1/hosts/${refPath(ref, 'host', 1, 'NAME', 'web-1')}`,
    refOf: (h) => h.name,
    columns: [
      { title: 'NAME', cell: (h) => h.name },
      { title: 'STATE', cell: (h) => h.status.state },
      { title: 'MODE', cell: (h) => h.mode },
      { title: 'REVISION', cell: (h) => String(h.status.appliedRevision) },
      { title: 'ENDPOINTS', cell: (h) => String(h.status.endpoints) },
      { title: 'SEEN', cell: (h, nowMs) => `${age(h.status.lastSeen, nowMs)} ago` },
      { title: 'AGENT', cell: (h) => h.status.agentVersion },
      { title: 'KERNEL', cell: (h) => h.status.kernel },
      { title: 'ADDRESSES', cell: (h) => list(h.status.addresses), card: true },
      {
        title: 'MAPS',
        cell: (h) => list(h.status.maps.map((m) => `${m.name} ${m.entries} of ${m.maxEntries}`)),
        card: true,
      },
      { title: 'DEGRADED', cell: (h) => list(h.status.degraded) },
    ],
  }),
  noun<Namespace>({
    word: 'namespace',
    plural: 'namespaces',
    short: ['ns'],
    summary: 'namespaces and their labels, which count in selectors',
    path: '/v1/namespaces',
    ref: 'NAME',
    example: 'shop',
    verbs: ['list', 'get', 'put', 'delete'],
    pathOf: (ref) => `/v1/namespaces/${refPath(ref, 'namespace', 1, 'NAME', 'shop')}`,
    refOf: (n) => n.name,
    columns: [
      { title: 'NAME', cell: (n) => n.name },
      { title: 'WORKLOADS', cell: (n) => String(n.status.workloads) },
      { title: 'POLICIES', cell: (n) => String(n.status.policies) },
      { title: 'LABELS', cell: (n) => labelsText(n.labels) },
      { title: 'AGE', cell: (n, nowMs) => age(n.meta.createdAt, nowMs) },
    ],
  }),
];

/** By singular, plural or short name. */
export function findNoun(word: string): Noun | undefined {
  return NOUNS.find((row) => row.word === word || row.plural === word || row.short?.includes(word));
}

export function getNoun(word: NounWord): Noun {
  return findNoun(word)!;
}

/** `{app: "a", tier: "b"}` → `app=a,tier=b` */
export function labelsText(labels: Readonly<Record<string, string>>): string {
  return list(
    Object.entries(labels).map(([key, value]) => `${key}=${value}`),
    ',',
  );
}

/** Rows are written against their own type; the generic commands only hand an object back to the row that it came from. */
function noun<T>(row: TypedNoun<T>): Noun {
  return row as unknown as Noun;
}

interface TypedNoun<T> extends Omit<Noun, 'refOf' | 'columns' | 'body'> {
  readonly refOf: (object: T) => string;
  readonly columns: readonly TypedColumn<T>[];
  readonly body?: (object: T) => unknown;
}

interface TypedColumn<T> {
  readonly title: string;
  readonly cell: (object: T, nowMs: number) => string;
  readonly card?: true;
}

/** `1 per host; web-1 has 2` */
function expectedText({ expect, status }: Workload): string {
  if (expect === undefined) return '-';
  const others = (status.unexpected ?? []).map(({ host, endpoints }) => `; ${host} has ${endpoints}`);
  return `${expect.perHost} per host${others.join('')}`;
}

function whyText(endpoint: Endpoint): string {
  const { why } = endpoint;
  if (!why) return '-';
  const clause = why.clause === undefined ? '' : ` match[${why.clause}]`;
  const beats = (why.beats ?? []).map((row) => `, beats ${row.workload} by ${row.by}`).join('');
  return `${why.origin}${clause} ${why.grade}${beats}`;
}

/** `cnp/shop/backend ingress[0]: 12 hits, last 3 min ago` */
function ruleText({ rule, hits, lastHit }: RuleStatus, nowMs: number): string {
  const last = lastHit === undefined ? '' : `, last ${age(lastHit, nowMs)} ago`;
  return `${rule}: ${hits} ${hits === 1 ? 'hit' : 'hits'}${last}`;
}

function changed(meta: { updatedAt: string; updatedBy: string; revision: number }, nowMs: number): string {
  return `${age(meta.updatedAt, nowMs)} ago by ${meta.updatedBy}, revision ${meta.revision}`;
}

function address(ip: string, port: number): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/** As `--opens` takes it. */
function openingText(one: NonNullable<Workload['opens']>[number]): string {
  return typeof one === 'string' ? one : one.raw.map((protocol) => `raw:${protocol}`).join(', ');
}

function list(words: readonly string[], separator = ', '): string {
  return words.length === 0 ? '-' : words.join(separator);
}
