/**
 * argv → a command with its arguments and flags, from the table. Global flags may stand anywhere, a command's own flags
 * anywhere after its name. Nothing is guessed: an unknown word is refused with the nearest known one (exit 2).
 */

import { nearest } from '../core/nearest.ts';
import type { Command, Flag, Flags } from './command.ts';
import { Failure } from './failure.ts';
import { GLOBAL_FLAGS } from './global-flags.ts';

export type Parsed =
  | { readonly kind: 'run'; readonly command: Command; readonly args: readonly string[]; readonly flags: Flags }
  | { readonly kind: 'help'; readonly path: readonly string[] };

export function parse(
  commands: readonly Command[],
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Parsed {
  const { words, given, path, command } = read(commands, argv);
  if (given.has('help')) return { kind: 'help', path };
  if (!command) {
    if (words.length === 0) return { kind: 'help', path: [] };
    throw unknownCommand(commands, words);
  }
  const args = words.slice(command.path.length);
  checkArgs(commands, command, args);
  return { kind: 'run', command, args, flags: toFlags(command, given, env) };
}

interface Read {
  words: string[];
  given: Map<string, string[]>;
  /** The words that are a command or the beginning of one. */
  path: string[];
  command: Command | undefined;
}

/** Splits words from flags. The command is the longest path that the words begin with. */
function read(commands: readonly Command[], argv: readonly string[]): Read {
  const state: Read = { words: [], given: new Map(), path: [], command: undefined };
  let extending = true;
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (word === '--') {
      state.words.push(...argv.slice(i + 1));
      break;
    }
    if (word.length > 1 && word.startsWith('-')) {
      i += readFlag(state, word, argv[i + 1]);
      continue;
    }
    state.words.push(word);
    const path = [...state.path, word];
    extending &&= commands.some((row) => startsWith(row.path, path));
    if (extending) {
      state.path = path;
      state.command = commands.find((row) => row.path.length === path.length && startsWith(row.path, path));
    }
  }
  return state;
}

/** Answers how many further words of argv it used. */
function readFlag(state: Read, word: string, next: string | undefined): 0 | 1 {
  const known = [...(state.command?.flags ?? []), ...GLOBAL_FLAGS];
  const { flag, inline } = word.startsWith('--') ? findLong(word, known) : findShort(word, known);
  if (!flag) throw unknownFlag(state, word, known);
  const values = state.given.get(flag.name) ?? [];
  state.given.set(flag.name, values);
  if (flag.value === undefined) {
    if (inline !== undefined) throw new Failure(2, `--${flag.name} is a switch: it takes no value ("${inline}")`);
    values.push('');
    return 0;
  }
  const value = inline ?? next;
  if (value === undefined) throw new Failure(2, `--${flag.name} needs a value: --${flag.name} ${flag.value}`);
  if (values.length > 0 && !flag.many)
    throw new Failure(2, `--${flag.name} is given twice: "${values[0]}" and "${value}"`);
  values.push(toChoice(flag, value, `--${flag.name}`));
  return inline === undefined ? 1 : 0;
}

function findLong(word: string, known: readonly Flag[]) {
  const equals = word.indexOf('=');
  const name = word.slice(2, equals < 0 ? undefined : equals);
  return { flag: known.find((flag) => flag.name === name), inline: equals < 0 ? undefined : word.slice(equals + 1) };
}

/** `-o json` and `-ojson`; switches are not bundled (`-fw` is `-f w`'s spelling for a flag with a value). */
function findShort(word: string, known: readonly Flag[]) {
  const flag = known.find((row) => row.short === word[1]);
  const rest = word.slice(2);
  return { flag, inline: rest === '' ? undefined : rest.replace(/^=/, '') };
}

/** Of a flag that may be repeated, also several values with commas between. */
function toChoice(flag: Flag, value: string, name: string): string {
  if (!flag.choices) return value;
  if (flag.many && value.includes(',')) {
    return value
      .split(',')
      .map((part) => toChoice(flag, part, name))
      .join(',');
  }
  const choice = flag.choices.find((row) => row.toLowerCase() === value.toLowerCase());
  if (choice !== undefined) return choice;
  const near = nearest(value, flag.choices);
  throw new Failure(
    2,
    `${name} "${value}": allowed are ${flag.choices.join(', ')}${near ? `; did you mean ${near}?` : ''}`,
  );
}

function toFlags(
  command: Command,
  given: Map<string, string[]>,
  env: Readonly<Record<string, string | undefined>>,
): Flags {
  const known = new Map([...GLOBAL_FLAGS, ...command.flags].map((flag) => [flag.name, flag]));
  const values = new Map<string, readonly string[]>();
  for (const flag of known.values()) {
    const fromEnv = flag.env ? env[flag.env] : undefined;
    if (given.has(flag.name)) values.set(flag.name, given.get(flag.name)!);
    else if (fromEnv) values.set(flag.name, [toChoice(flag, fromEnv, flag.env!)]);
    else if (flag.default !== undefined) values.set(flag.name, [flag.default]);
  }
  const lookUp = (name: string) => {
    if (!known.has(name))
      throw new Error(`"postern ${command.path.join(' ')}" reads --${name}, which its row does not declare`);
    return values.get(name) ?? [];
  };
  return { text: (name) => lookUp(name).at(-1), list: (name) => lookUp(name), on: (name) => lookUp(name).length > 0 };
}

function checkArgs(commands: readonly Command[], command: Command, args: readonly string[]): void {
  const name = command.path.join(' ');
  const required = command.args.filter((arg) => !arg.optional).length;
  const most = command.args.some((arg) => arg.many) ? Number.POSITIVE_INFINITY : command.args.length;
  if (args.length < required) {
    const missing = command.args[args.length]!.name;
    throw new Failure(2, `"postern ${name}" needs ${missing}`, [`see: postern ${name} --help`]);
  }
  if (args.length <= most) return;
  const verbs = commands.filter((row) => row.path.length > command.path.length && startsWith(row.path, command.path));
  if (verbs.length > 0) throw unknownCommand(commands, [...command.path, ...args]);
  throw new Failure(2, `"postern ${name}" does not take "${args[most]}"`, [`see: postern ${name} --help`]);
}

function unknownCommand(commands: readonly Command[], words: readonly string[]): Failure {
  let depth = 0;
  while (depth < words.length && commands.some((row) => startsWith(row.path, words.slice(0, depth + 1)))) depth++;
  const parent = words.slice(0, depth);
  const known = [
    ...new Set(
      commands
        .filter((row) => !row.hidden && row.path.length > depth && startsWith(row.path, parent))
        .map((row) => row.path[depth]!),
    ),
  ];
  const word = words[depth];
  const prefix = ['postern', ...parent].join(' ');
  if (word === undefined)
    return new Failure(2, `"${prefix}" needs one of: ${known.join(', ')}`, [`see: ${prefix} --help`]);
  const near = nearest(word, known);
  const all = near ? [] : [`known: ${known.join(', ')}`];
  return new Failure(
    2,
    `unknown command "${[...parent, word].join(' ')}"${near ? `; did you mean "${prefix} ${near}"?` : ''}`,
    [...all, `see: ${prefix} --help`],
  );
}

function unknownFlag(state: Read, word: string, known: readonly Flag[]): Failure {
  const typed = word.startsWith('--') ? word.slice(2).split('=')[0]! : word.slice(1);
  const names = known.map((flag) => flag.name);
  const near = word.startsWith('--') ? nearest(typed, names) : names.find((name) => name === typed);
  const name = ['postern', ...state.path].join(' ');
  const hint = near
    ? `; did you mean --${near}?`
    : state.command
      ? ''
      : ' before a command; flags of a command come after its name';
  return new Failure(2, `unknown flag ${word.split('=')[0]}${state.command ? ` of "${name}"` : ''}${hint}`, [
    `see: ${name} --help`,
  ]);
}

function startsWith(path: readonly string[], prefix: readonly string[]): boolean {
  return prefix.length <= path.length && prefix.every((word, i) => word === path[i]);
}
