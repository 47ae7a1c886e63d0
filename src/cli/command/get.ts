/** `postern get …`, and `postern NOUN list|get`: tables, cards, JSON, YAML, and --watch. */

import { POLICY_KINDS } from '../../api/policy.ts';
import { nearest } from '../../core/nearest.ts';
import type { Call, Command, Flag } from '../command.ts';
import { Failure } from '../failure.ts';
import { WATCH } from '../global-flags.ts';
import { findNoun, getNoun, NOUNS, type Noun, type NounWord } from '../noun.ts';
import { yamlText } from '../out.ts';
import { alignRows, table } from '../table.ts';
import { listAll, watch } from '../watch.ts';

const SELECTOR: Flag = {
  name: 'selector',
  short: 'l',
  value: 'SELECTOR',
  summary: "only those with such labels: app=web, 'app in (a,b)', '!legacy'",
};
const NAMESPACE: Flag = {
  name: 'namespace',
  short: 'n',
  value: 'NAME',
  summary: 'only of this namespace',
  complete: 'namespace',
};
const HOST: Flag = { name: 'host', value: 'NAME', summary: 'only of this host', complete: 'host' };
const KIND: Flag = { name: 'kind', value: 'KIND', choices: POLICY_KINDS, summary: 'only policies of this kind' };
const UNUSED: Flag = {
  name: 'unused-for',
  value: 'TIME',
  summary: 'only policies with a rule that has decided nothing for so long: 30d',
};
const WORKLOAD: Flag = {
  name: 'workload',
  value: 'NAMESPACE/NAME',
  summary: 'only of this workload',
  complete: 'workload',
};

export const LIST_FLAGS: Readonly<Record<NounWord, readonly Flag[]>> = {
  workload: [NAMESPACE, SELECTOR, WATCH],
  policy: [NAMESPACE, KIND, SELECTOR, UNUSED, WATCH],
  endpoint: [HOST, WORKLOAD, WATCH],
  identity: [SELECTOR, WATCH],
  host: [WATCH],
  namespace: [SELECTOR, WATCH],
};

export const GET: Command = {
  path: ['get'],
  summary: 'Show objects of any kind',
  args: [
    { name: 'NOUN', complete: 'noun' },
    { name: 'NAME', optional: true, many: true },
  ],
  flags: [NAMESPACE, SELECTOR, KIND, HOST, WORKLOAD, WATCH],
  help: `NOUN is one of: ${NOUNS.map((noun) => noun.plural).join(', ')};\nor a kind of policy (${POLICY_KINDS.join(', ')}); or the name of a policy, such as cnp/shop/backend.`,
  examples: [
    ['postern get workloads', 'all workloads'],
    ['postern get workload shop/frontend', 'one, as a card'],
    ['postern get cnp/shop/backend -o yaml', 'a policy as it was written'],
    ['postern get endpoints --watch', 'each change as it happens'],
  ],
  run: async (call) => {
    const [word, ...refs] = call.args;
    if (/^(cnp|ccnp|netpol|ccg)\//.test(word!)) {
      return getObjects(getNoun('policy'), call.args, call);
    }
    const noun = toNoun(word!);
    if (refs.length === 0) return listObjects(noun, call, isPolicyKind(word!) ? [['kind', word!]] : []);
    if (call.on('watch')) throw new Failure(2, `--watch follows a list: postern get ${noun.plural} --watch`);
    return getObjects(noun, refs, call);
  },
};

function isPolicyKind(word: string): boolean {
  return (POLICY_KINDS as readonly string[]).includes(word);
}

/** Failure 2 with the nearest noun. */
export function toNoun(word: string): Noun {
  const noun = findNoun(word);
  if (noun) return noun;
  const near = nearest(
    word,
    NOUNS.flatMap((row) => [row.word, row.plural]),
  );
  const known = NOUNS.map((row) => row.plural).join(', ');
  throw new Failure(2, `there is no "${word}" to get${near ? `; did you mean ${near}?` : ''}`, [`known: ${known}`]);
}

async function getObjects(noun: Noun, refs: readonly string[], call: Call): Promise<number> {
  const between = { table: '', json: undefined, yaml: '---' }[call.out.format];
  for (const [i, ref] of refs.entries()) {
    if (i > 0 && between !== undefined) await call.out.print(between);
    await getObject(noun, ref, call);
  }
  return 0;
}

/** `also` narrows it further than the flags do. */
export async function listObjects(noun: Noun, call: Call, also: readonly [string, string][] = []): Promise<number> {
  const query = [...toQuery(noun, call), ...also];
  if (call.on('watch')) return watchObjects(noun, query, call);
  const { items, revision } = await listAll<never>(call.server, noun.path, query);
  if (call.out.format !== 'table') await call.out.value({ items, revision });
  else if (items.length > 0) await call.out.print(table(titles(noun), toCells(noun, items)));
  else
    call.out.note(query.length > 0 ? `no ${noun.plural} like that` : `no ${noun.plural} yet${NEXT[noun.word] ?? ''}`);
  return 0;
}

const NEXT: Partial<Record<NounWord, string>> = {
  workload: ': postern discover shows what could be one',
  policy: ': postern apply -f FILE',
  endpoint:
    ': nothing that runs matches a workload (postern discover shows what runs), or no agent reports (postern status)',
  host: ': no agent has reported',
};

export async function getObject(noun: Noun, ref: string, call: Call): Promise<number> {
  const path = noun.pathOf(ref);
  const { out } = call;
  if (noun.findBy === undefined && out.format === 'yaml') {
    const answer = await call.server.must({ method: 'GET', path, headers: { accept: 'application/yaml' } });
    await out.print(answer.text.trimEnd());
    return 0;
  }
  const object = noun.findBy
    ? await findObject(noun, ref, call)
    : await call.server.json<never>({ method: 'GET', path });
  if (out.format === 'table') await out.print(card(noun, object));
  else await out.value(object);
  return 0;
}

async function findObject(noun: Noun, ref: string, call: Call): Promise<never> {
  const { items } = await listAll<never>(call.server, noun.path, noun.findBy!(ref));
  const object = items.find((item) => noun.refOf(item) === ref);
  if (object === undefined)
    throw new Failure(2, `There is no ${noun.word} ${ref}`, [`hint: postern get ${noun.plural}`]);
  return object;
}

async function watchObjects(noun: Noun, query: readonly (readonly [string, string])[], call: Call): Promise<never> {
  const { out } = call;
  const widths: number[] = [];
  const print = (type: string, objects: readonly never[]) => {
    if (out.format === 'json') return objects.map((object) => JSON.stringify({ type, object })).join('\n');
    if (out.format === 'yaml') return objects.map((object) => `---\n${yamlText({ type, object })}`).join('\n');
    return alignRows(
      toCells(noun, objects).map((cells) => [type, ...cells]),
      widths,
    ).join('\n');
  };
  return watch<never>(call.server, noun.path, query, {
    onList: async (items) => {
      if (items.length === 0) return out.note(`no ${noun.plural} yet; watching`);
      if (out.format !== 'table') return out.print(print('ADDED', items));
      const rows = [['EVENT', ...titles(noun)], ...toCells(noun, items).map((cells) => ['ADDED', ...cells])];
      return out.print(alignRows(rows, widths).join('\n'));
    },
    onEvent: (event) => out.print(print(event.type, [event.object])),
  });
}

function toQuery(noun: Noun, call: Call): [string, string][] {
  const query: [string, string][] = [];
  const takes = new Set(LIST_FLAGS[noun.word].map((flag) => flag.name));
  for (const [flag, parameter] of PARAMETERS) {
    const declared = call.command.flags.some((row) => row.name === flag);
    const value = declared ? call.text(flag) : undefined;
    if (value === undefined) continue;
    if (!takes.has(flag)) throw new Failure(2, `${noun.plural} are not chosen by --${flag}`);
    query.push([parameter, value]);
  }
  return query;
}

const PARAMETERS = [
  ['namespace', 'namespace'],
  ['selector', 'labelSelector'],
  ['kind', 'kind'],
  ['unused-for', 'unusedFor'],
  ['host', 'host'],
  ['workload', 'workload'],
] as const;

function toCells(noun: Noun, objects: readonly never[]): string[][] {
  const nowMs = Date.now();
  const columns = noun.columns.filter((column) => !column.card);
  return objects.map((object) => columns.map((column) => column.cell(object, nowMs)));
}

function titles(noun: Noun): string[] {
  return noun.columns.filter((column) => !column.card).map((column) => column.title);
}

function card(noun: Noun, object: never): string {
  const nowMs = Date.now();
  const cells = noun.columns.map((column) => [`${column.title.toLowerCase()}:`, column.cell(object, nowMs)]);
  const lines = alignRows(cells.filter(([, value]) => value !== '-')).join('\n');
  return noun.body ? `${lines}\n\n${yamlText(noun.body(object))}` : lines;
}
