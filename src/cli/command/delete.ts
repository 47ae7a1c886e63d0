/** `postern delete …` and `postern NOUN delete`. By name without a question; by selector only after a yes. */
import type { Plan } from '../../api/apply.ts';
import type { Call, Command, Flag } from '../command.ts';
import { confirm } from '../confirm.ts';
import { type ObjectRef, refsOfDocument } from '../document-ref.ts';
import { readBundle } from '../documents.ts';
import { Failure } from '../failure.ts';
import { getNoun, type Noun } from '../noun.ts';
import { listAll } from '../watch.ts';
import { toNoun } from './get.ts';
import { dryRunQuery, planLines } from './plan.ts';

export const DELETE_FLAGS: readonly Flag[] = [
  { name: 'selector', short: 'l', value: 'SELECTOR', summary: "all with such labels: app=web, 'app in (a,b)'" },
  { name: 'yes', short: 'y', summary: 'do not ask' },
  { name: 'if-match', value: 'ETAG', many: true, summary: 'only what has not changed since: the ETag of each object' },
  { name: 'dry-run', summary: 'say what would be deleted, and whose verdicts would change; change nothing' },
];

export const DELETE: Command = {
  path: ['delete'],
  summary: 'Delete objects of any kind, by name or as a file names them',
  args: [
    { name: 'NOUN', optional: true, complete: 'noun' },
    { name: 'NAME', optional: true, many: true },
  ],
  flags: [
    ...DELETE_FLAGS,
    {
      name: 'file',
      short: 'f',
      value: 'PATH',
      many: true,
      summary: 'every object that this file or folder names',
      complete: 'file',
    },
  ],
  examples: [
    ['postern delete workload shop/frontend', 'one workload'],
    ['postern delete cnp/shop/backend', 'one policy'],
    ['postern delete -f policies/', 'what postern apply -f policies/ made'],
    ['postern delete workloads --selector app=old --yes', 'by label, without a question'],
  ],
  run: async (call) => {
    const files = call.list('file');
    const [word, ...refs] = call.args;
    if (files.length > 0) {
      if (word !== undefined) throw new Failure(2, `either -f or names, not both ("${word}")`);
      const { documents } = await readBundle(files, call.io);
      return deleteFromFiles(documents.flatMap(refsOfDocument), call);
    }
    if (word === undefined)
      throw new Failure(2, '"postern delete" needs a noun and a name, or -f', ['see: postern delete --help']);
    const policy = getNoun('policy');
    if (/^(cnp|ccnp|netpol|ccg)\//.test(word))
      return deleteAll(
        [word, ...refs].map((ref) => ({ noun: policy, ref })),
        call,
      );
    return deleteOf(toNoun(word), refs, call);
  },
};

/** Whether its objects may be deleted by label. */
export function isSelectable(noun: Noun): boolean {
  return noun.word === 'workload' || noun.word === 'policy';
}

export function deleteObjects(noun: Noun, call: Call): Promise<number> {
  return deleteOf(noun, call.args, call);
}

async function deleteOf(noun: Noun, refs: readonly string[], call: Call): Promise<number> {
  if (!noun.verbs.includes('delete'))
    throw new Failure(2, `${noun.plural} cannot be deleted: they are what the agents report`);
  const hasSelector = call.command.flags.some((flag) => flag.name === 'selector');
  const selector = hasSelector ? call.text('selector') : undefined;
  if (selector === undefined) {
    if (refs.length === 0)
      throw new Failure(2, `"postern ${noun.word} delete" needs ${noun.ref}`, [
        `see: postern ${noun.word} delete --help`,
      ]);
    return deleteAll(
      refs.map((ref) => ({ noun, ref })),
      call,
    );
  }
  if (refs.length > 0) throw new Failure(2, `either --selector or names, not both ("${refs[0]}")`);
  if (!isSelectable(noun)) throw new Failure(2, `${noun.plural} are not chosen by --selector`);
  const { items } = await listAll<never>(call.server, noun.path, [['labelSelector', selector]]);
  const found = items.map((item) => ({ noun, ref: noun.refOf(item) }));
  if (found.length === 0) {
    call.out.note(`no ${noun.plural} like that`);
    return 0;
  }
  for (const { ref } of found) call.out.note(`  ${noun.word} ${ref}`);
  if (!call.on('dry-run')) await confirm(call, `delete ${found.length === 1 ? 'it' : `these ${found.length}`}?`);
  return deleteAll(found, call);
}

/** What is already gone is no mistake; what is in a namespace goes before the namespace. */
async function deleteFromFiles(targets: readonly ObjectRef[], call: Call): Promise<number> {
  const isNamespace = (target: ObjectRef) => target.noun.word === 'namespace';
  for (const target of [...targets.filter((row) => !isNamespace(row)), ...targets.filter(isNamespace)]) {
    if (isNamespace(target) && call.on('dry-run')) {
      await call.out.print(
        `namespace ${target.ref} would be deleted, if nothing else is in it: dry run, nothing changed`,
      );
      continue;
    }
    try {
      await deleteOne(target, call);
    } catch (error) {
      if (!(error instanceof Failure) || error.status !== 404) throw error;
      await call.out.print(`${target.noun.word} ${target.ref} is not there`);
    }
  }
  return 0;
}

/** In order; stops at the first that is refused. All names are checked before the first call. */
async function deleteAll(targets: readonly ObjectRef[], call: Call): Promise<number> {
  for (const { noun, ref } of targets) noun.pathOf(ref);
  for (const target of targets) await deleteOne(target, call);
  return 0;
}

async function deleteOne({ noun, ref }: ObjectRef, call: Call): Promise<void> {
  const isDryRun = call.on('dry-run');
  const ifMatch = call.list('if-match');
  const answer = await call.server.must({
    method: 'DELETE',
    path: noun.pathOf(ref),
    query: dryRunQuery(isDryRun),
    ...(ifMatch.length > 0 && { headers: { 'if-match': ifMatch.join(', ') } }),
  });
  await call.out.print(`${noun.word} ${ref} ${isDryRun ? 'would be deleted: dry run, nothing changed' : 'deleted'}`);
  if (!isDryRun) return;
  const { plan } = JSON.parse(answer.text) as { plan: Plan };
  for (const line of planLines({ ...plan, changes: [] })) await call.out.print(line);
}
