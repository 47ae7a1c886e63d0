/**
 * Files of policy tests → cases. YAML and JSON are read strictly, JSON lines (`.jsonl`, also gzip'd) leniently: they come
 * from machines and may carry fields that say where a row is from.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { type Format, type ParsedDocument, parseDocuments } from '../api/document.ts';
import { nearest } from '../core/nearest.ts';
import type { PolicyCase } from '../core/policy-case.ts';
import { checkCase } from '../core/policy-case-check.ts';
import type { ValidityCase } from '../core/policy-case-run.ts';
import type { FieldError } from '../core/problem.ts';
import type { Io } from './command.ts';
import { Failure } from './failure.ts';

export interface FoundCase {
  readonly file: string;
  readonly line: number;
  readonly row: PolicyCase | ValidityCase;
}

const TEST_FILE = /\.(ya?ml|json|jsonl|jsonl\.gz)$/;
const FIELDS = [
  ...['name', 'reason', 'tags', 'policies', 'policyFiles', 'namespaces', 'endpoints', 'probes', 'enforcement'],
  ...[
    'clusterName',
    'cases',
    'expect',
    'source',
    'basis',
    'kind',
    'since',
    'until',
    'sequence',
    'dnsLearned',
    'agreement',
  ],
  ...['certainty', 'note'],
];

/** `paths`: files, folders, "-" for stdin. Failure 2 for what cannot be read or is no test. */
export async function readCases(paths: readonly string[], io: Io): Promise<FoundCase[]> {
  const found: FoundCase[] = [];
  for (const path of paths) {
    if (path === '-') found.push(...casesOf('(stdin)', '.', await readStdin(io), 'yaml'));
    else for (const file of filesOf(path)) found.push(...readFile(file));
  }
  if (found.length === 0) throw new Failure(2, `no test cases in ${paths.map((path) => `"${path}"`).join(', ')}`);
  return found;
}

function filesOf(path: string): string[] {
  const folder = attempt(path, () => statSync(path).isDirectory());
  if (!folder) return [path];
  const files = readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => TEST_FILE.test(name))
    .sort();
  return files.map((name) => join(path, name));
}

function readFile(file: string): FoundCase[] {
  const bytes = attempt(file, () => readFileSync(file));
  const text = attempt(file, () => (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8'));
  if (/\.jsonl(\.gz)?$/.test(file)) return linesOf(file, text);
  return casesOf(file, dirname(file), text, file.endsWith('.json') ? 'json' : 'yaml');
}

async function readStdin(io: Io): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of io.stdin) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString('utf8');
}

function linesOf(file: string, text: string): FoundCase[] {
  return text.split('\n').flatMap((written, i) => {
    if (written.trim() === '') return [];
    let row: unknown;
    try {
      row = JSON.parse(written);
    } catch (error) {
      throw new Failure(2, `${file}:${i + 1}: ${(error as Error).message}`);
    }
    const line = i + 1;
    return [toCase({ file, line, lineAt: () => line, folder: dirname(file), value: row, shared: [], strict: false })];
  });
}

function casesOf(file: string, folder: string, text: string, format: Format): FoundCase[] {
  const parsed = parseDocuments(text, format);
  if (!parsed.ok) {
    const [error] = parsed.errors;
    throw new Failure(2, `${file}:${error?.line ?? 1}: ${error?.message}`);
  }
  // Policy documents of the same file are policies of its cases.
  const shared = parsed.value.map(({ value }) => value).filter(isPolicy);
  const tests = parsed.value.filter(({ value }) => !isPolicy(value));
  return tests.flatMap((document) => {
    const { cases } = (document.value ?? {}) as { cases?: unknown };
    const list = Array.isArray(cases)
      ? cases.map((value, i) => ({ value, path: `/cases/${i}` }))
      : [{ value: document.value, path: '' }];
    return list.map(({ value, path }) => {
      const lineAt = (part: string) => lineOf(document, path + part);
      return toCase({ file, line: lineAt(''), lineAt, folder, value, shared, strict: true });
    });
  });
}

function isPolicy(value: unknown): boolean {
  const { apiVersion, kind } = (value ?? {}) as { apiVersion?: unknown; kind?: unknown };
  return typeof apiVersion === 'string' && typeof kind === 'string';
}

function lineOf(document: ParsedDocument, path: string): number {
  return document.locate(path).line;
}

interface Raw {
  readonly file: string;
  readonly line: number;
  /** The line of a part of it, by JSON pointer. */
  readonly lineAt: (path: string) => number;
  readonly folder: string;
  readonly value: unknown;
  readonly shared: readonly unknown[];
  readonly strict: boolean;
}

function toCase({ file, line, lineAt, folder, value, shared, strict }: Raw): FoundCase {
  const fail = (message: string): never => {
    throw new Failure(2, `${file}:${line}: ${message}`, ['see: postern policy test --help']);
  };
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail('a test case must be an object');
  const row = value as Readonly<Record<string, unknown>>;
  if (typeof row.file === 'string' && row.parsed !== undefined) return { file, line, row: toExample(row, folder) };
  for (const key of strict ? Object.keys(row) : []) {
    if (FIELDS.includes(key)) continue;
    const near = nearest(key, FIELDS);
    fail(
      `unknown field "${key}"${near ? `, did you mean "${near}"?` : ''} (allowed: ${FIELDS.slice(0, 12).join(', ')})`,
    );
  }
  for (const list of ['policies', 'policyFiles']) {
    if (row[list] !== undefined && !Array.isArray(row[list])) fail(`"${list}" must be a list`);
  }
  const [wrong, ...others] = checkCase(row, strict);
  if (wrong !== undefined)
    throw new Failure(2, `${file}:${lineAt(wrong.path)}: ${errorText(wrong)}`, [
      ...others.slice(0, 9).map((error) => `  ${file}:${lineAt(error.path)}: ${errorText(error)}`),
      'see: postern policy test --help',
    ]);
  const name = typeof row.name === 'string' ? row.name : `case at line ${line}`;
  const fromFiles = ((row.policyFiles as unknown[] | undefined) ?? []).flatMap((path) =>
    readPolicies(join(folder, String(path))),
  );
  const policies = [...shared, ...((row.policies as unknown[] | undefined) ?? []), ...fromFiles];
  if (row.probes === undefined && (row.expect === 'accept' || row.expect === 'reject')) {
    return { file, line, row: { name, policies, expect: row.expect } };
  }
  if (row.probes === undefined) fail('a test case needs "probes", or "expect: accept|reject" for documents alone');
  const probed = row as unknown as PolicyCase;
  return { file, line, row: { ...probed, name, policies, endpoints: probed.endpoints ?? [] } };
}

/** `probes[1].port 70000: must be …` */
function errorText({ path, value, message, allowed }: FieldError): string {
  const field = path
    .slice(1)
    .replaceAll(/\/(\d+)/g, '[$1]')
    .replaceAll('/', '.')
    .replaceAll('~1', '/');
  const given = value === undefined ? '' : ` ${JSON.stringify(value).slice(0, 100)}`;
  return `${field}${given}: ${message}${allowed === undefined ? '' : ` (allowed: ${allowed.join(', ')})`}`;
}

/** A row of `policies.parse`: a document by its file, and whether Cilium's parser takes it. */
function toExample(row: Readonly<Record<string, unknown>>, folder: string): ValidityCase {
  const { file, doc, item, parsed, document } = row;
  const documents = document === undefined ? readPolicies(join(folder, String(file)), false) : [document];
  const one = document ?? unpack(documents[Number(doc ?? 0)])[Number(item ?? 0)];
  return {
    name: `${file}#${doc ?? 0}.${item ?? 0}`,
    policies: [one],
    expect: parsed === 'rejected' ? 'reject' : 'accept',
  };
}

function readPolicies(file: string, unpacked = true): unknown[] {
  const text = attempt(file, () => readFileSync(file, 'utf8'));
  const parsed = parseDocuments(text, file.endsWith('.json') ? 'json' : 'yaml');
  if (!parsed.ok) throw new Failure(2, `${file}:${parsed.errors[0]?.line ?? 1}: ${parsed.errors[0]?.message}`);
  const values = parsed.value.map(({ value }) => value);
  return unpacked ? values.flatMap(unpack) : values;
}

/** `kind: List` → its items. */
function unpack(value: unknown): unknown[] {
  const { kind, items } = (value ?? {}) as { kind?: unknown; items?: unknown };
  return typeof kind === 'string' && kind.endsWith('List') && Array.isArray(items) ? items : [value];
}

function attempt<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Failure(2, `cannot read "${file}": ${code === 'ENOENT' ? 'no such file or folder' : message}`);
  }
}
