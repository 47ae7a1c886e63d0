/** `postern apply`: many documents of any kind in one call, all or nothing. */
import type { ApplyAnswer, ApplyResult } from '../../api/apply.ts';
import type { Command } from '../command.ts';
import { readBundle } from '../documents.ts';
import { Failure } from '../failure.ts';
import { problemFailure } from '../problem.ts';
import { alignRows } from '../table.ts';
import { dryRunQuery, planLines } from './plan.ts';

export const APPLY: Command = {
  path: ['apply'],
  summary: 'Create or update everything in files or folders, all or nothing',
  args: [{ name: 'PATH', optional: true, many: true, complete: 'file' }],
  flags: [
    {
      name: 'file',
      short: 'f',
      value: 'PATH',
      many: true,
      summary: 'file, folder (with all below it), or - for stdin',
      complete: 'file',
    },
    { name: 'prune', summary: 'delete what -l selects and the files do not name' },
    { name: 'selector', short: 'l', value: 'SELECTOR', summary: 'with --prune: labels of what the files own' },
    {
      name: 'if-match',
      value: 'ETAG',
      many: true,
      summary: 'only if all that exists is as it was seen: the ETag of each document',
    },
    { name: 'dry-run', summary: 'check, and say what would happen; change nothing' },
  ],
  help: [
    "Documents are the cluster's own, YAML or JSON, one or many per file: CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy,",
    'NetworkPolicy, Namespace; and Workload (apiVersion: postern.dev/v1, kind, metadata, spec).',
    '--prune -l SELECTOR deletes policies with such labels that no file names, and workloads where the files hold some; every',
    'policy in the files must have the labels.',
  ].join('\n'),
  examples: [
    ['postern apply -f policies.yaml', 'one file'],
    ['postern apply -f policies/ --dry-run', 'what would a folder change?'],
    ['postern apply -f policies/ --prune -l team=shop --dry-run', 'what would a folder change and delete?'],
    ['kubectl get cnp -A -o yaml | postern apply -f -', "take over a cluster's policies"],
  ],
  run: async (call) => {
    const paths = [...call.list('file'), ...call.args];
    if (paths.length === 0) throw new Failure(2, '"postern apply" needs a file or folder: postern apply -f PATH');
    const isDryRun = call.on('dry-run');
    const ifMatch = call.list('if-match');
    const selector = call.text('selector');
    if (call.on('prune') !== (selector !== undefined))
      throw new Failure(2, '--prune and -l SELECTOR go together: --prune -l team=shop');
    const bundle = await readBundle(paths, call.io);
    const request = {
      method: 'POST',
      path: '/v1/apply',
      query: [...dryRunQuery(isDryRun), ...(selector === undefined ? [] : [['prune', selector] as const])],
      headers: {
        'content-type': bundle.contentType,
        ...(ifMatch.length > 0 && { 'if-match': ifMatch.join(', ') }),
      },
      body: bundle.body,
      bodyFile: bundle.bodyFile,
    } as const;
    const answer = await call.server.send(request);
    if (answer.status !== 200 && answer.status !== 201) throw problemFailure(answer, request, bundle.place);
    const applied = JSON.parse(answer.text) as ApplyAnswer;
    if (call.out.format !== 'table') {
      await call.out.value(applied);
      return 0;
    }
    const cells = applied.results.map((row) => [
      call.out.colour(COLOURS[row.result], row.result),
      row.kind,
      nameOf(row),
    ]);
    await call.out.print(alignRows(cells).join('\n'));
    for (const row of applied.results) {
      for (const warning of row.warnings ?? []) call.out.note(`warning: ${row.kind} ${nameOf(row)}: ${warning}`);
    }
    if (isDryRun) {
      for (const line of planLines({ ...applied.plan, changes: [] })) await call.out.print(line);
      call.out.note('dry run: nothing changed');
    } else {
      call.out.note(`revision ${applied.revision}`);
    }
    return 0;
  },
};

const COLOURS = { created: 'green', updated: 'yellow', deleted: 'red', unchanged: 'dim' } as const;

function nameOf(row: ApplyResult): string {
  return [row.namespace, row.name].filter((word) => word !== undefined).join('/');
}
