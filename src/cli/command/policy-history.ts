/** `postern policy history|diff|rollback`: who changed what, when, and back again. */
import type { HistoryEntry, PolicyDiff } from '../../api/history.ts';
import { textDiff } from '../../core/text-diff.ts';
import type { Call, Command } from '../command.ts';
import { readBundle } from '../documents.ts';
import { Failure } from '../failure.ts';
import { getNoun } from '../noun.ts';
import { table } from '../table.ts';
import { age } from '../time.ts';
import { listAll } from '../watch.ts';
import { dryRunQuery, planLines } from './plan.ts';

const POLICY = { name: 'POLICY', complete: 'policy' } as const;

export const POLICY_HISTORY: readonly Command[] = [
  {
    path: ['policy', 'history'],
    summary: 'Show each revision of a policy: who, when, what; also of one that is deleted',
    args: [POLICY],
    flags: [],
    examples: [
      ['postern policy history cnp/shop/backend', 'newest first'],
      ["postern policy history ccnp/base -o json | jq '.items[].changes'", 'every field that ever changed'],
    ],
    run: async (call) => {
      const { items, revision } = await listAll<HistoryEntry>(call.server, `${pathOf(call)}/history`, []);
      if (call.out.format !== 'table') await call.out.value({ items, revision });
      else await call.out.print(historyText(items, Date.now()));
      return 0;
    },
  },
  {
    path: ['policy', 'diff'],
    summary: 'Show what changed in a policy between two revisions, or what a file would change',
    args: [{ ...POLICY, optional: true }],
    flags: [
      { name: 'from', value: 'REVISION', summary: 'absent: the one before' },
      { name: 'to', value: 'REVISION', summary: 'absent: the newest' },
      { name: 'file', short: 'f', value: 'FILE', summary: 'compare with this document instead', complete: 'file' },
      { name: 'exit-code', summary: 'exit 1 when there is a difference' },
    ],
    examples: [
      ['postern policy diff cnp/shop/backend', 'the last change'],
      ['postern policy diff cnp/shop/backend --from 3 --to 7', 'between two revisions'],
      ['postern policy diff cnp/shop/backend -f backend.yaml --exit-code', 'is the file what is in force?'],
    ],
    run: async (call) => {
      const file = call.text('file');
      const text = file === undefined ? await readDiff(call) : await compareFile(call, file);
      if (text === '') call.out.note('no difference');
      else if (text !== undefined) await call.out.print(coloured(text.trimEnd(), call.out.colour));
      return call.on('exit-code') && text !== '' ? 1 : 0;
    },
  },
  {
    path: ['policy', 'rollback'],
    summary: 'Put a policy back as it was after a revision; also one that is deleted',
    args: [POLICY],
    flags: [
      { name: 'to', value: 'REVISION', summary: 'as it was after this revision' },
      { name: 'if-match', value: 'ETAG', summary: 'only if it has not changed since' },
      { name: 'dry-run', summary: 'check, and say what would happen; change nothing' },
    ],
    examples: [['postern policy rollback cnp/shop/backend --to 7', 'under a new revision; history keeps both']],
    run: async (call) => {
      const ifMatch = call.text('if-match');
      const answer = await call.server.must({
        method: 'POST',
        path: `${pathOf(call)}:rollback`,
        query: dryRunQuery(call.on('dry-run')),
        headers: { 'content-type': 'application/json', ...(ifMatch !== undefined && { 'if-match': ifMatch }) },
        body: JSON.stringify({ revision: toRevision('to', call.text('to')) }),
      });
      const object = JSON.parse(answer.text) as { meta: { revision: number }; plan?: unknown };
      if (call.out.format !== 'table') await call.out.value(object);
      else if (call.on('dry-run')) {
        for (const line of planLines(object.plan)) await call.out.print(line);
        call.out.note('dry run: nothing changed');
      } else {
        const as = `is as it was after revision ${call.text('to')}`;
        await call.out.print(`policy ${call.args[0]} ${as}, revision ${object.meta.revision}`);
      }
      return 0;
    },
  },
];

function pathOf(call: Call): string {
  const [ref] = call.args;
  if (ref === undefined)
    throw new Failure(2, `"postern ${call.command.path.join(' ')}" needs a policy, such as cnp/shop/backend`);
  return getNoun('policy').pathOf(ref);
}

function historyText(items: readonly HistoryEntry[], nowMs: number): string {
  const rows = items.map(({ revision, at, by, action, changes }) => [
    String(revision),
    `${age(at, nowMs)} ago`,
    by,
    action,
    changes.map(({ path }) => path).join(', ') || (action === 'update' ? '(text only)' : '-'),
  ]);
  return table(['REVISION', 'WHEN', 'BY', 'ACTION', 'CHANGED'], rows);
}

/** Undefined when it has been printed as JSON or YAML, and there is a difference. */
async function readDiff(call: Call): Promise<string | undefined> {
  const query = (['from', 'to'] as const).flatMap((name): [string, string][] => {
    const text = call.text(name);
    return text === undefined ? [] : [[name, String(toRevision(name, text))]];
  });
  const diff = await call.server.json<PolicyDiff>({ method: 'GET', path: `${pathOf(call)}/diff`, query });
  if (call.out.format === 'table') return diff.text;
  await call.out.value(diff);
  return diff.text === '' ? '' : undefined;
}

async function compareFile(call: Call, file: string): Promise<string> {
  for (const name of ['from', 'to'])
    if (call.on(name)) throw new Failure(2, `-f and --${name} together: a file has no revisions`);
  const { body, documents } = await readBundle([file], call.io);
  if (documents.length !== 1) throw new Failure(2, `"${file}" holds ${documents.length} documents, diff compares one`);
  const headers = { accept: 'application/yaml' };
  const { text } = await call.server.must({ method: 'GET', path: pathOf(call), headers });
  return textDiff(text, body, [call.args[0]!, file]);
}

function toRevision(flag: string, text: string | undefined): number {
  if (text === undefined) throw new Failure(2, `--${flag} REVISION is needed`, ['see: postern policy history POLICY']);
  if (!/^\d{1,15}$/.test(text)) throw new Failure(2, `--${flag} "${text}": expected a revision, a number`);
  return Number(text);
}

function coloured(text: string, colour: Call['out']['colour']): string {
  const of = (line: string) => (line.startsWith('+') ? 'green' : line.startsWith('-') ? 'red' : undefined);
  return text
    .split('\n')
    .map((line) => {
      const name = of(line);
      return name === undefined ? line : colour(name, line);
    })
    .join('\n');
}
