/**
 * Documents from files, folders and stdin, for apply, put and delete. They go to the server as they came (it keeps the
 * text); here they are parsed with the server's own reader, so that a mistake is named by file and line before a call.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { type Format, parseDocuments } from '../api/document.ts';
import type { FieldError } from '../core/problem.ts';
import type { Io } from './command.ts';
import { quote } from './curl.ts';
import { Failure } from './failure.ts';
import { fieldErrorText } from './problem.ts';

export interface Bundle {
  readonly body: string;
  readonly contentType: 'application/yaml' | 'application/json';
  /** Set when `body` is this one file, unchanged ("-": stdin). */
  readonly bodyFile?: string;
  /** The values of all documents, in order. */
  readonly documents: readonly unknown[];
  /** `file:line:column pointer` of an error that the server found in `body`. */
  place(error: FieldError): string | undefined;
}

interface Source {
  /** As given, or "(stdin)". */
  readonly file: string;
  readonly text: string;
  readonly format: Format;
}

/** `paths`: files, folders (with all below them that is not hidden), "-" for stdin. Failure 2 for what cannot be read or is no YAML or JSON. */
export async function readBundle(paths: readonly string[], io: Io): Promise<Bundle> {
  const sources: Source[] = [];
  for (const path of paths) sources.push(...(path === '-' ? [await readStdin(io)] : readPath(path)));
  const documents = sources.flatMap(parse);
  if (documents.length === 0) throw new Failure(2, `no documents in ${paths.map(quote).join(', ')}`);
  return { ...toBody(sources), documents };
}

function readPath(path: string): Source[] {
  try {
    if (!statSync(path).isDirectory()) return [toSource(path, readFileSync(path, 'utf8'))];
    // Hidden ones are somebody else's: .git, editors' copies, the second copy of each file in a mounted ConfigMap.
    const files = readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory() && /\.(ya?ml|json)$/.test(entry.name))
      .map((entry) => relative(path, join(entry.parentPath, entry.name)))
      .filter((name) => !/(^|\/)\./.test(name))
      .sort();
    if (files.length === 0) throw new Failure(2, `no *.yaml, *.yml or *.json in folder "${path}"`);
    return files.map((name) => toSource(join(path, name), readFileSync(join(path, name), 'utf8')));
  } catch (error) {
    if (error instanceof Failure) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    const why =
      code === 'ENOENT' ? 'no such file or folder' : code === 'EACCES' ? 'this user may not read it' : message;
    throw new Failure(2, `cannot read "${path}": ${why}`);
  }
}

async function readStdin(io: Io): Promise<Source> {
  const chunks: Buffer[] = [];
  for await (const chunk of io.stdin) chunks.push(Buffer.from(chunk));
  return toSource('(stdin)', Buffer.concat(chunks).toString('utf8'));
}

/** Text that begins like JSON and ends in `.json`, or parses as JSON, is JSON; all else is YAML. */
function toSource(file: string, text: string): Source {
  return { file, text, format: file.endsWith('.json') || isJson(text) ? 'json' : 'yaml' };
}

function isJson(text: string): boolean {
  if (!/^\s*[[{]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function parse(source: Source): unknown[] {
  const parsed = parseDocuments(source.text, source.format);
  if (parsed.ok) return parsed.value.map((document) => document.value);
  const details = parsed.errors.map((error) => `  ${fieldErrorText(error, () => placeText(source.file, error))}`);
  throw new Failure(2, `"${source.file}" is not valid ${source.format.toUpperCase()}`, details);
}

/** A single text unchanged; several as YAML documents (JSON is YAML once its tabs are gone). */
function toBody(sources: readonly Source[]): Omit<Bundle, 'documents'> {
  const [only] = sources;
  if (sources.length === 1 && only) {
    const contentType = only.format === 'json' ? 'application/json' : 'application/yaml';
    const bodyFile = only.file === '(stdin)' ? '-' : only.file;
    return { body: only.text, contentType, bodyFile, place: (error) => placeText(only.file, error) };
  }
  const segments: { file: string; firstLine: number; isAsWritten: boolean }[] = [];
  let body = '';
  let line = 1;
  for (const source of sources) {
    const isAsWritten = source.format === 'yaml' || !source.text.includes('\t');
    const text = (isAsWritten ? source.text : JSON.stringify(JSON.parse(source.text), null, 2)).trimEnd();
    segments.push({ file: source.file, firstLine: line, isAsWritten });
    body += `${text}\n---\n`;
    line += text.split('\n').length + 1;
  }
  const place = (error: FieldError) => {
    const segment = segments.findLast((row) => row.firstLine <= (error.line ?? 0));
    if (!segment) return undefined;
    const at = segment.isAsWritten ? { line: error.line! - segment.firstLine + 1 } : { line: undefined };
    return placeText(segment.file, { ...error, ...at });
  };
  return { body: body.slice(0, -'---\n'.length), contentType: 'application/yaml', place };
}

function placeText(file: string, error: FieldError): string {
  const line = error.line === undefined ? '' : `:${error.line}${error.column === undefined ? '' : `:${error.column}`}`;
  return `${file}${line}${error.path === '' ? '' : ` ${error.path}`}`;
}
