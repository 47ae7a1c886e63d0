/** What could stand at the cursor: commands, flags, values of a flag, names of the server's objects. */
import type { Client } from './client.ts';
import type { Arg, Command, Flag, Source } from './command.ts';
import { GLOBAL_FLAGS } from './global-flags.ts';
import { findNoun, getNoun, NOUNS, type NounWord } from './noun.ts';
import { listAll } from './watch.ts';

/** `words`: what stands after the program's name, the last one unfinished. ":files" asks the shell for file names. */
export async function complete(
  commands: readonly Command[],
  words: readonly string[],
  server: Client,
): Promise<string[]> {
  const place = findPlace(commands, joinEquals(words));
  const candidates =
    place.source === undefined
      ? place.words
      : [...place.words, ...(await fromSource(place.source, place, commands, server))];
  return [...new Set(candidates)].filter((word) => word === ':files' || word.startsWith(place.typed)).sort();
}

interface Place {
  /** The unfinished word. */
  readonly typed: string;
  readonly words: readonly string[];
  readonly source?: Source;
  /** The arguments before the cursor, for sources that depend on them. */
  readonly args: readonly string[];
  /** `--flag=` when that is part of the unfinished word: each candidate begins with it. */
  readonly prefix: string;
}

/** Pure: where the cursor is. Exported for tests. */
export function findPlace(commands: readonly Command[], words: readonly string[]): Place {
  const typed = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const path: string[] = [];
  const args: string[] = [];
  let command: Command | undefined;
  let pending: Flag | undefined;
  for (const word of before) {
    if (pending) {
      pending = undefined;
      continue;
    }
    if (word.startsWith('-') && word !== '-') {
      const flag = findFlag(command, word);
      pending = flag?.value !== undefined && !word.includes('=') ? flag : undefined;
      continue;
    }
    const longer = [...path, word];
    if (args.length === 0 && commands.some((row) => begins(row, longer))) {
      path.push(word);
      command = commands.find((row) => row.path.length === path.length && begins(row, path));
    } else {
      args.push(word);
    }
  }
  if (pending) return { typed, args, prefix: '', ...valuesOf(pending) };
  if (typed.startsWith('-')) return flagPlace(command, typed, args);
  const verbs = args.length > 0 ? [] : nextWords(commands, path);
  const arg = command ? argAt(command.args, args.length) : undefined;
  return {
    typed,
    args,
    prefix: '',
    words: verbs,
    ...(arg?.complete !== undefined ? { source: arg.complete } : argWords(command, arg, verbs)),
  };
}

function flagPlace(command: Command | undefined, typed: string, args: readonly string[]): Place {
  const equals = typed.indexOf('=');
  const flag = equals < 0 ? undefined : findFlag(command, typed);
  if (flag) {
    const prefix = typed.slice(0, equals + 1);
    const values = valuesOf(flag);
    return {
      typed,
      args,
      prefix,
      words: values.words.map((word) => prefix + word),
      ...(values.source && { source: values.source }),
    };
  }
  const flags = [...(command?.flags ?? []), ...GLOBAL_FLAGS].map((row) => `--${row.name}`);
  return { typed, args, prefix: '', words: flags };
}

function valuesOf(flag: Flag): { words: readonly string[]; source?: Source } {
  return { words: flag.choices ?? [], ...(flag.complete && { source: flag.complete }) };
}

/** After a noun come its names; `bash|zsh|fish` as the name of an argument lists its values. */
function argWords(
  command: Command | undefined,
  arg: Arg | undefined,
  verbs: readonly string[],
): { words?: readonly string[]; source?: Source } {
  const isAnyNoun = command?.args[0]?.complete === 'noun';
  if (isAnyNoun) return { words: verbs, source: 'noun' };
  return arg?.name.includes('|') ? { words: arg.name.split('|') } : {};
}

function argAt(args: readonly Arg[], index: number): Arg | undefined {
  const last = args.at(-1);
  return args[index] ?? (last?.many ? last : undefined);
}

function findFlag(command: Command | undefined, word: string): Flag | undefined {
  const known = [...(command?.flags ?? []), ...GLOBAL_FLAGS];
  const name = word.replace(/^--?/, '').split('=')[0];
  return known.find((flag) => (word.startsWith('--') ? flag.name === name : flag.short === word.slice(1)));
}

async function fromSource(
  source: Source,
  place: Place,
  commands: readonly Command[],
  server: Client,
): Promise<string[]> {
  if (source === 'file') return [':files'];
  if (source === 'command') return nextWords(commands, place.args);
  if (source !== 'noun') return (await namesOf(source, server)).map((name) => place.prefix + name);
  const noun = place.args[0] === undefined ? undefined : findNoun(place.args[0]);
  if (noun) return namesOf(noun.word, server);
  return NOUNS.flatMap((row) => [row.word, row.plural]);
}

/** No server, no names: completion never complains. */
async function namesOf(word: NounWord, server: Client): Promise<string[]> {
  const noun = getNoun(word);
  try {
    const { items } = await listAll<never>(server, noun.path, []);
    return items.map((item) => noun.refOf(item));
  } catch {
    return [];
  }
}

/** The words that may follow `path` in the name of a command. */
function nextWords(commands: readonly Command[], path: readonly string[]): string[] {
  const longer = commands.filter((row) => !row.hidden && row.path.length > path.length && begins(row, path));
  return longer.map((row) => row.path[path.length]!);
}

function begins(command: Command, path: readonly string[]): boolean {
  return path.length <= command.path.length && path.every((word, i) => command.path[i] === word);
}

/** bash hands over `--verdict=DRO` as three words. */
function joinEquals(words: readonly string[]): string[] {
  const joined: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const isSplit = words[i] === '=' && joined.at(-1)?.startsWith('--');
    if (!isSplit) joined.push(words[i]!);
    else if (i === words.length - 1) joined.push('');
  }
  return joined;
}
