/** `postern NOUN put`: one object, from flags or a file, created or replaced. */
import type { Call, Flag } from '../command.ts';
import { refsOfDocument } from '../document-ref.ts';
import { type Bundle, readBundle } from '../documents.ts';
import { Failure } from '../failure.ts';
import type { Noun } from '../noun.ts';
import { problemFailure } from '../problem.ts';
import { dryRunQuery, planLines } from './plan.ts';
import { givenWorkloadFlags, placeInFlags, toPairs, toWorkloadBody } from './workload-flags.ts';

export const PUT_FLAGS: readonly Flag[] = [
  { name: 'file', short: 'f', value: 'FILE', summary: 'the body, JSON or YAML; - for stdin', complete: 'file' },
  { name: 'dry-run', summary: 'check, and say what would happen; change nothing' },
  { name: 'create-only', summary: 'refuse to replace' },
  { name: 'if-match', value: 'ETAG', summary: 'only if it has not changed since' },
];

export async function putObject(noun: Noun, call: Call): Promise<number> {
  const { ref, body, contentType, bodyFile, place } = await toPut(noun, call);
  const ifMatch = call.text('if-match');
  const request = {
    method: 'PUT',
    path: noun.pathOf(ref),
    query: dryRunQuery(call.on('dry-run')),
    headers: {
      'content-type': contentType,
      ...(call.on('create-only') && { 'if-none-match': '*' }),
      ...(ifMatch !== undefined && { 'if-match': ifMatch }),
    },
    body,
    bodyFile,
  } as const;
  const answer = await call.server.send(request);
  if (answer.status !== 200 && answer.status !== 201) throw problemFailure(answer, request, place);
  const object = JSON.parse(answer.text) as PutAnswer;
  if (call.out.format !== 'table') {
    await call.out.value(object);
    return 0;
  }
  await call.out.print(`${noun.word} ${ref} ${donePart(answer.status === 201, call.on('dry-run'), object)}`);
  for (const line of planLines(object.plan)) await call.out.print(line);
  for (const warning of object.status?.warnings ?? []) call.out.note(`warning: ${warning}`);
  for (const overlap of object.status?.overlaps ?? []) call.out.note(overlapLine(overlap));
  const hint = hintOf(noun, ref, object);
  if (hint) call.out.note(`hint: ${hint}`);
  return 0;
}

/** 200 does not say whether anything changed: "up to date" is true either way. */
function donePart(isNew: boolean, isDryRun: boolean, { meta }: PutAnswer): string {
  if (isDryRun) return `${isNew ? 'would be created' : 'exists'}: dry run, nothing changed`;
  return `${isNew ? 'created' : 'is up to date'}, revision ${meta?.revision ?? '?'}`;
}

function overlapLine({ workload, winner, by }: Overlap): string {
  if (by === 'created')
    return `warning: ${workload} says as much of the same process: the older one, ${winner}, keeps it`;
  return `note: a process of it may also be ${workload}: then ${winner} wins by ${by}`;
}

interface Overlap {
  readonly workload: string;
  readonly winner: string;
  readonly by: string;
}

/** What a registration matches is not known yet when it is answered: the agents look first. */
function hintOf(noun: Noun, ref: string, { status, addresses }: PutAnswer): string | undefined {
  if (noun.word !== 'workload' || status?.spoofable || addresses !== undefined) return status?.hint;
  return `what it matches: postern get endpoints --workload ${ref}`;
}

interface PutAnswer {
  readonly addresses?: readonly string[];
  readonly meta?: { readonly revision?: number };
  readonly status?: {
    readonly hint?: string;
    readonly spoofable?: string | null;
    readonly warnings?: readonly string[];
    readonly overlaps?: readonly Overlap[];
  };
  readonly plan?: unknown;
}

interface Put extends Pick<Bundle, 'body' | 'bodyFile'> {
  readonly ref: string;
  readonly contentType: string;
  readonly place?: Bundle['place'];
}

async function toPut(noun: Noun, call: Call): Promise<Put> {
  const file = call.text('file');
  const ref = call.args[0];
  if (file === undefined) {
    if (noun.word === 'policy') throw new Failure(2, 'a policy is put from a file: postern policy put -f FILE');
    const body = noun.word === 'workload' ? toWorkloadBody(call) : { labels: toPairs(call.list('label'), '--label') };
    return {
      ref: ref!,
      body: JSON.stringify(body),
      contentType: 'application/json',
      place: noun.word === 'workload' ? placeInFlags(call) : () => '--label',
    };
  }
  const clash =
    noun.word === 'workload'
      ? givenWorkloadFlags(call)
      : call.command.flags.some((f) => f.name === 'label') && call.on('label')
        ? ['--label']
        : [];
  if (clash.length > 0) throw new Failure(2, `${clash.join(', ')} and -f together: the file is the whole body`);
  const bundle = await readBundle([file], call.io);
  if (bundle.documents.length > 1) {
    throw new Failure(2, `"${file}" holds ${bundle.documents.length} documents, put takes one`, [
      `all of them: postern apply -f ${file}`,
    ]);
  }
  const document = bundle.documents[0];
  if (noun.word === 'policy') return { ...bundle, ref: ref ?? refOfPolicy(document) };
  const body = bodyOf(noun, document, ref!);
  return body === undefined
    ? { ...bundle, ref: ref! }
    : { ref: ref!, body: JSON.stringify(body), contentType: 'application/json' };
}

/** A document of `postern apply` (apiVersion, kind, metadata, spec) is taken too: what it says is turned into the body. */
function bodyOf(noun: Noun, document: unknown, ref: string): unknown {
  const { apiVersion, spec, metadata } = (document ?? {}) as Record<string, { labels?: unknown } | undefined>;
  if (apiVersion === undefined) return undefined;
  const about = refsOfDocument(document).map((target) => `${target.noun.word} ${target.ref}`);
  if (about.join() !== `${noun.word} ${ref}`) {
    throw new Failure(2, `the file is about ${about.join(', ')}, not about ${noun.word} ${ref}`);
  }
  return spec ?? { labels: metadata?.labels ?? {} };
}

function refOfPolicy(document: unknown): string {
  const [only, another] = refsOfDocument(document);
  if (!only || another || only.noun.word !== 'policy') {
    throw new Failure(2, 'the file is not about one policy', ['other kinds, and lists: postern apply -f FILE']);
  }
  return only.ref;
}
