/** What a client sent: read with a limit while it arrives, then parsed strictly. */
import type { IncomingMessage } from 'node:http';
import { type Format, type ParsedDocument, parseDocuments } from '../api/document.ts';
import type { Request } from './operation.ts';
import { ProblemError, unwrap } from './problem-error.ts';

export const DOCUMENT_BYTES = 1024 * 1024;
export const APPLY_BYTES = 4 * 1024 * 1024;

export const DOCUMENT_TYPES = ['application/json', 'application/yaml'] as const;
const FORMATS: Readonly<Record<string, Format>> = {
  'application/json': 'json',
  'application/yaml': 'yaml',
  'application/x-yaml': 'yaml',
  'text/yaml': 'yaml',
  'text/x-yaml': 'yaml',
};

/** The one document of a PUT. */
export async function readDocument(c: Request): Promise<ParsedDocument> {
  const documents = await readDocuments(c, DOCUMENT_BYTES);
  if (documents.length === 1) return documents[0]!;
  throw new ProblemError('invalid', `The body must hold one document, it holds ${documents.length}`, {
    ...(documents.length > 1 && { hint: 'curl -X POST …/v1/apply takes several documents' }),
  });
}

export async function readDocuments(c: Request, limit: number): Promise<ParsedDocument[]> {
  const format = formatOf(c);
  const text = decode(await readBody(c.env.incoming, limit));
  return unwrap(parseDocuments(text, format), 'the body');
}

function formatOf(c: Request): Format {
  const type = c.req.header('content-type');
  const plain = (type ?? '').split(';', 1).join('').trim().toLowerCase();
  const format = FORMATS[plain] ?? (plain.endsWith('+json') ? 'json' : plain.endsWith('+yaml') ? 'yaml' : undefined);
  if (format !== undefined) return format;
  throw new ProblemError(
    'media-type',
    `Content-Type ${type === undefined ? 'is missing' : `"${type}" is not understood`}`,
    {
      errors: [{ path: '', message: 'content-type', value: type, allowed: DOCUMENT_TYPES }],
      hint: "add -H 'content-type: application/json' (or application/yaml)",
    },
  );
}

/** How much of what is too large is read and thrown away: who still writes when the connection closes never reads the 413. */
const DISCARDED_BYTES = 64 * 1024 * 1024;

/** Collects the body; 413 when it is longer than `limit`, of which no more than `limit` is ever held. */
export async function readBody(incoming: IncomingMessage, limit: number): Promise<Buffer> {
  const most = limit + DISCARDED_BYTES;
  if (Number(incoming.headers['content-length'] ?? 0) > most) throw tooLarge(limit);
  let chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > most) break;
    if (size > limit) chunks = [];
    else chunks.push(chunk);
  }
  if (size > limit) throw tooLarge(limit);
  return Buffer.concat(chunks);
}

function tooLarge(limit: number): ProblemError {
  // The rest of the body may not have been read, so the connection is not used again.
  return new ProblemError('too-large', `The body is larger than ${limit / 1024 / 1024} MiB`, {
    headers: { connection: 'close' },
    hint: 'split it: POST /v1/apply takes 4 MiB at once, a PUT 1 MiB',
  });
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new ProblemError('syntax', 'The body is not valid UTF-8');
  }
}
