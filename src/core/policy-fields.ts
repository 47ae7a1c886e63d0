/**
 * Reading a document field by field: every key is known, known but not supported yet, or refused with the nearest
 * known name. Nothing is ignored. `null` is read as absent, as Kubernetes does, with a warning.
 */
import { nearest } from './nearest.ts';
import type { FieldError, Result } from './problem.ts';

export interface Report {
  readonly errors: FieldError[];
  readonly warnings: string[];
  readonly features: ReadonlySet<Feature>;
}

/** What the compiler understands and a kernel may not enforce yet. */
export const FEATURES = ['nodeSelector', 'icmps', 'nodes', 'cidrGroups', 'ipProtocols'] as const;
export type Feature = (typeof FEATURES)[number];

export interface FieldTable {
  /** Put before the names of unsupported fields in messages: `rules.`. */
  readonly within?: string;
  readonly known: readonly string[];
  /** Fields of Cilium 1.19 that are refused by name: name → reason, or '' for "not supported yet". */
  readonly unsupported?: Readonly<Record<string, string>>;
  /** Fields that exist elsewhere: name → where they belong. */
  readonly misplaced?: Readonly<Record<string, string>>;
}

export type Fields = Readonly<Record<string, unknown>>;

export const NOT_SUPPORTED = 'not-supported';

/** Who sends more errors than this wants no list of them. */
const MAX_ERRORS = 100;

export function newReport(features: ReadonlySet<Feature>): Report {
  return { errors: [], warnings: [], features };
}

/** What is missing where a feature is not there. */
const WANTING: Partial<Record<Feature, string>> = {
  nodes: 'not supported yet: other hosts have no identity of their own',
};

/** Refuses `name` where the reader may not use the feature. */
export function need(report: Report, feature: Feature, path: string, name: string): void {
  if (!report.features.has(feature)) refuseUnsupported(report, path, name, undefined, WANTING[feature]);
}

export function toResult<T>(report: Report, value: T | undefined): Result<T> {
  if (report.errors.length === 0 && value !== undefined) {
    return report.warnings.length > 0 ? { ok: true, value, warnings: report.warnings } : { ok: true, value };
  }
  const malformed = report.errors.some((error) => error.code !== NOT_SUPPORTED);
  return { ok: false, errors: report.errors, status: malformed ? 400 : 422 };
}

export function refuse(
  report: Report,
  path: string,
  message: string,
  value?: unknown,
  allowed?: readonly string[],
): undefined {
  add(report, { path, message, ...(value === undefined ? {} : { value }), ...(allowed ? { allowed } : {}) });
}

export function refuseUnsupported(report: Report, path: string, name: string, value?: unknown, reason = ''): undefined {
  const message = `${name} is ${reason || 'not supported yet'}`;
  add(report, { path, message, code: NOT_SUPPORTED, ...(value === undefined ? {} : { value }) });
}

export function add(report: Report, error: FieldError): undefined {
  if (report.errors.length < MAX_ERRORS) report.errors.push(error);
}

/** JSON pointer of a member (RFC 6901). */
export function at(path: string, key: string | number): string {
  return `${path}/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

export function readObject(report: Report, path: string, value: unknown): Fields | undefined {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  return refuse(report, path, `must be an object, not ${typeName(value)}`, value);
}

/** The known fields that are present; all others are reported. */
export function readFields(report: Report, path: string, value: unknown, table: FieldTable): Fields | undefined {
  const object = readObject(report, path, value);
  if (!object) return undefined;
  const fields: Record<string, unknown> = {};
  for (const [key, member] of Object.entries(object)) {
    const here = at(path, key);
    const known = table.known.includes(key);
    const reason = own(table.unsupported, key);
    if (member === null && (known || reason !== undefined)) report.warnings.push(`${here}: null is read as absent`);
    else if (known) fields[key] = member;
    else if (reason !== undefined) refuseUnsupported(report, here, (table.within ?? '') + key, undefined, reason);
    else refuseUnknown(report, here, key, table);
  }
  return fields;
}

function refuseUnknown(report: Report, path: string, key: string, table: FieldTable): undefined {
  if (report.errors.length >= MAX_ERRORS) return undefined;
  const place = own(table.misplaced, key);
  if (place !== undefined) return refuse(report, path, `\`${key}\` ${place}`);
  const names = [...table.known, ...Object.keys(table.unsupported ?? {})];
  const near = nearest(key, names);
  return refuse(
    report,
    path,
    `unknown field \`${key}\`${near ? `, did you mean \`${near}\`?` : ''}`,
    undefined,
    table.known,
  );
}

function own(table: Readonly<Record<string, string>> | undefined, key: string): string | undefined {
  return table && Object.hasOwn(table, key) ? table[key] : undefined;
}

export function readList(report: Report, path: string, value: unknown): readonly unknown[] | undefined {
  return Array.isArray(value) ? value : refuse(report, path, `must be a list, not ${typeName(value)}`, value);
}

export function readString(report: Report, path: string, value: unknown): string | undefined {
  return typeof value === 'string' ? value : refuse(report, path, `must be a string, not ${typeName(value)}`, value);
}

/** YAML 1.1, which kubectl reads, has more words for them; in YAML 1.2 those are texts. */
export function readBoolean(report: Report, path: string, value: unknown): boolean | undefined {
  if (typeof value === 'boolean') return value;
  const isOld = typeof value === 'string' && /^(yes|no|on|off)$/i.test(value);
  const hint = isOld ? `: write ${/^(yes|on)$/i.test(value)}` : '';
  return refuse(report, path, `must be true or false, not ${typeName(value)}${hint}`, value);
}

/** Each member of a list, read; members that were refused are left out. Absent list → undefined. */
export function readEach<T>(
  report: Report,
  path: string,
  value: unknown,
  read: (path: string, member: unknown) => T | undefined,
): T[] | undefined {
  if (value === undefined) return undefined;
  const list = readList(report, path, value);
  return list?.map((member, i) => read(at(path, i), member)).filter((member) => member !== undefined);
}

export function typeName(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
