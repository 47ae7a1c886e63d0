/**
 * Text → documents, strictly: JSON or YAML (1.2, with `<<` merge as Kubernetes' parser has it), duplicate keys and
 * alias bombs refused, at most 64 levels deep, strings that Postgres can hold. Every error has a line and a column.
 */
import {
  isCollection,
  isMap,
  isNode,
  isScalar,
  LineCounter,
  parseAllDocuments,
  stringify,
  visit,
  type Document as YamlDocument,
} from 'yaml';
import type { FieldError, Result } from '../core/problem.ts';
import { pointer } from './check.ts';
import { jsonErrorOffset } from './json-error.ts';
import { findDuplicateKey, offsetOf, positionOf } from './json-scan.ts';

export type Format = 'json' | 'yaml';

export interface ParsedDocument {
  readonly value: unknown;
  /** The document's own part of the text, comments included. */
  readonly text: string;
  readonly format: Format;
  /** Where the value at a JSON pointer stands in the whole text. */
  locate(path: string): { line: number; column: number };
}

export const MAX_DEPTH = 64;
const TOO_DEEP = `nested more than ${MAX_DEPTH} levels deep`;
/** Documents of one text. */
export const MAX_DOCUMENTS = 10_000;
/** How many nodes all aliases of one document may stand for. */
const MAX_ALIASES = 100;

/** All documents of a text; JSON has exactly one, YAML any number. Empty YAML documents are left out. */
export function parseDocuments(text: string, format: Format): Result<ParsedDocument[]> {
  return format === 'json' ? parseJson(text) : parseYaml(text);
}

/** `errors` with the line and column of the value that each is about. */
export function locateErrors(errors: readonly FieldError[], document: ParsedDocument): FieldError[] {
  return errors.map((error) => (error.line === undefined ? { ...error, ...document.locate(error.path) } : error));
}

export function toYaml(value: unknown): string {
  return stringify(value, { aliasDuplicateObjects: false, lineWidth: 0 });
}

function parseJson(text: string): Result<ParsedDocument[]> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return syntax(plainJsonError(error), positionOf(text, jsonErrorOffset(text)));
  }
  const locate = (path: string) => positionOf(text, offsetOf(text, path));
  const wrong = checkValue(value);
  if (wrong !== undefined) return syntax(wrong.message, wrong.deep ? {} : locate(wrong.path), wrong.path);
  const duplicate = findDuplicateKey(text);
  if (duplicate !== undefined) {
    return syntax(
      `duplicate key "${duplicate.path.split('/').at(-1)}"`,
      positionOf(text, duplicate.offset),
      duplicate.path,
      'duplicate-key',
    );
  }
  return { ok: true, value: [{ value, text, format: 'json', locate }] };
}

/** Without the place as V8 counts it: ours stands beside it. */
function plainJsonError(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text
    .replace(/ at position \d+( \(line \d+ column \d+\))?$/, '')
    .replace(/, (\.\.\.)?".*"(\.\.\.)? is not valid JSON$/s, '');
}

function parseYaml(text: string): Result<ParsedDocument[]> {
  const lines = new LineCounter();
  const documents: ParsedDocument[] = [];
  if ((text.match(/^---/gm)?.length ?? 0) > MAX_DOCUMENTS) return syntax(`more than ${MAX_DOCUMENTS} documents`, {});
  if (isAbsurdlyDeep(text)) return syntax(TOO_DEEP, {});
  try {
    const parsed = parseAllDocuments(text, YAML_OPTIONS(lines));
    let begin = 0;
    for (const document of Array.isArray(parsed) ? parsed : []) {
      const error = document.errors[0] ?? document.warnings.find((warning) => warning.code === 'TAG_RESOLVE_FAILED');
      if (error !== undefined) {
        const { line, col } = lines.linePos(error.pos[0]);
        return syntax(error.message, { line, column: col });
      }
      const end = document.range?.[2] ?? text.length;
      // Comments above a document are its own.
      const own = trimMarkers(text.slice(begin, end));
      begin = end;
      if (document.contents === null) continue;
      const duplicate = duplicateKey(document);
      if (duplicate !== undefined) {
        const { line, col } = lines.linePos(duplicate.offset);
        return syntax(`duplicate key "${duplicate.key}"`, { line, column: col }, '', 'duplicate-key');
      }
      const value = document.toJS({ maxAliasCount: MAX_ALIASES }) as unknown;
      if (value === null) continue;
      const locate = (path: string) => locateYaml(document, lines, path);
      const wrong = checkValue(value);
      if (wrong !== undefined) return syntax(wrong.message, locate(wrong.path), wrong.path);
      documents.push({ value, text: own, format: 'yaml', locate });
    }
  } catch (error) {
    if (error instanceof ReferenceError) return aliasError(error, text);
    if (error instanceof RangeError) return syntax(TOO_DEEP, {});
    throw error;
  }
  return { ok: true, value: documents };
}

function aliasError({ message }: ReferenceError, text: string): Result<never> {
  const name = /^Unresolved alias.*: (.+)$/.exec(message)?.[1];
  if (name === undefined) return syntax('too many aliases: an alias bomb is refused', {}, '', 'aliases');
  return syntax(`unknown alias "*${name}"`, positionOf(text, text.indexOf(`*${name}`)));
}

/** The library compares each key with every other; `duplicateKey` looks each up once. */
const YAML_OPTIONS = (lineCounter: LineCounter) =>
  ({ lineCounter, merge: true, stringKeys: true, prettyErrors: false, uniqueKeys: false }) as const;

function duplicateKey(document: YamlDocument): { key: string; offset: number } | undefined {
  let found: { key: string; offset: number } | undefined;
  visit(document, {
    Map(_, map) {
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        const name = isScalar(key) ? key.value : undefined;
        if (name === undefined || name === '<<') continue;
        if (seen.has(name)) {
          found = { key: String(name), offset: isNode(key) ? (key.range?.[0] ?? 0) : 0 };
          return visit.BREAK;
        }
        seen.add(name);
      }
      return undefined;
    },
  });
  return found;
}

/** Before the parser walks into it: thousands of levels, whatever they are made of. */
function isAbsurdlyDeep(text: string): boolean {
  if (/(?:[-?:][ \t]){256}/.test(text)) return true;
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x5b || c === 0x7b) depth++;
    else if (c === 0x5d || c === 0x7d) depth--;
    if (depth > 1000) return true;
  }
  return false;
}

/** A scalar where it stands; what spans lines, and what has no value, at its key. */
function locateYaml(document: YamlDocument, lines: LineCounter, path: string) {
  const keys = path.split('/').slice(1);
  let node: unknown = document.contents;
  let place: unknown = node;
  for (const key of keys.map(unescapeKey)) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === key);
      if (pair === undefined) break;
      node = pair.value;
      place = isScalar(node) && node.range?.[0] !== node.range?.[1] ? node : pair.key;
    } else {
      const next: unknown = isCollection(node) ? node.get(Number(key), true) : undefined;
      if (!isNode(next)) break;
      node = next;
      place = node;
    }
  }
  const range = isNode(place) ? place.range : undefined;
  const { line, col } = lines.linePos(range?.[0] ?? document.range?.[0] ?? 0);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}

function unescapeKey(key: string): string {
  return key.replaceAll('~1', '/').replaceAll('~0', '~');
}

function trimMarkers(text: string): string {
  return `${text
    .replace(/^\s*(---[^\S\n]*\n)?/, '')
    .replace(/\n(---|\.\.\.)\s*$/, '')
    .trimEnd()}\n`;
}

function checkValue(root: unknown): { path: string; message: string; deep?: boolean } | undefined {
  const keys: (string | number)[] = [];
  function walk(value: unknown): string | undefined {
    if (keys.length > MAX_DEPTH) return TOO_DEEP;
    if (typeof value === 'string') return stringError(value);
    if (typeof value === 'number' && !Number.isFinite(value)) return 'must be a finite number';
    if (typeof value !== 'object' || value === null) return undefined;
    const entries = Array.isArray(value) ? value.entries() : Object.entries(value);
    for (const [key, item] of entries) {
      keys.push(key);
      const wrong = (typeof key === 'string' ? keyError(key) : undefined) ?? walk(item);
      if (wrong !== undefined) return wrong;
      keys.pop();
    }
    return undefined;
  }
  const message = walk(root);
  if (message === undefined) return undefined;
  return { path: pointer(keys.slice(0, MAX_DEPTH)), message, deep: keys.length > MAX_DEPTH };
}

function keyError(key: string): string | undefined {
  return key === '__proto__' ? 'must not be called "__proto__"' : stringError(key);
}

/** Postgres' json holds neither NUL nor half a surrogate pair. */
function stringError(text: string): string | undefined {
  if (text.includes('\0')) return 'must not contain the NUL character';
  return text.isWellFormed() ? undefined : 'must be valid Unicode: half a surrogate pair';
}

function syntax(message: string, at: { line?: number; column?: number }, path = '', code = 'syntax'): Result<never> {
  return { ok: false, status: 400, code: 'syntax', errors: [{ path, message, code, ...at }] };
}
