/** Help texts, from the table of commands: the overview, a noun with its verbs, one command. */
import type { Arg, Command, Flag } from './command.ts';
import { GLOBAL_FLAGS } from './global-flags.ts';
import { alignRows } from './table.ts';

/** `path` may be a command, the beginning of one, or []. */
export function help(commands: readonly Command[], path: readonly string[]): string {
  const below = commands.filter((row) => !row.hidden && path.every((word, i) => row.path[i] === word));
  const exact = below.find((row) => row.path.length === path.length);
  if (path.length === 0) return overview(below);
  if (exact)
    return one(
      exact,
      below.filter((row) => row !== exact),
    );
  return [
    `Usage: postern ${path.join(' ')} COMMAND`,
    '',
    ...list(below),
    '',
    `One of them: postern ${path.join(' ')} COMMAND --help`,
  ].join('\n');
}

const SECTIONS: readonly (readonly [string, readonly string[]])[] = [
  ['Look', ['status', 'observe', 'discover', 'doctor', 'get']],
  ['Change', ['apply', 'delete', 'run']],
  ['Nouns, each with its verbs', ['workload', 'policy', 'endpoint', 'identity', 'host', 'namespace', 'flow']],
  ['Run', ['standalone', 'server', 'agent']],
  ['Other', ['version', 'completion', 'help']],
];

function overview(commands: readonly Command[]): string {
  const lines = ['Postern: identity-based network policy for Linux hosts.', '', 'Usage: postern COMMAND [FLAGS]', ''];
  for (const [title, words] of SECTIONS) {
    const rows = words.flatMap((word) => {
      const group = commands.filter((row) => row.path[0] === word);
      if (group.length === 0) return [];
      const verbs = group.filter((row) => row.path.length > 1).map((row) => row.path[1]!);
      const own = group.find((row) => row.path.length === 1);
      return [[`  ${word}`, [own?.summary, verbs.join(', ')].filter(Boolean).join('; also: ')]];
    });
    if (rows.length > 0) lines.push(`${title}:`, ...alignRows(rows), '');
  }
  lines.push(
    'First steps:',
    '  sudo postern standalone                              server and agent on this host',
    '  postern discover                                     what listens here, with a ready registration for each',
    '  postern workload put shop/backend --label app=backend --systemd-unit redis.service',
    '  postern apply -f policies/                           all documents of a folder, all or nothing',
    '  postern observe -f --verdict DROPPED                 each denial, with the rule that decided',
    '',
    ...flagLines('Flags of every command', GLOBAL_FLAGS),
    '',
    'Exit code: 0 done, 1 the answer is no, 2 bad input, 3 cannot reach, 4 not allowed.',
    'Each command explains itself: postern COMMAND --help',
  );
  return lines.join('\n');
}

function one(command: Command, below: readonly Command[]): string {
  const name = `postern ${command.path.join(' ')}`;
  const lines = [`Usage: ${[name, ...command.args.map(argText)].join(' ')} [FLAGS]`, '', `${command.summary}.`];
  if (command.help) lines.push('', command.help);
  if (below.length > 0) lines.push('', ...list(below));
  if (command.flags.length > 0) lines.push('', ...flagLines('Flags', command.flags));
  lines.push('', ...flagLines('Flags of every command', GLOBAL_FLAGS));
  if (command.examples.length > 0) {
    lines.push('', 'Examples:');
    for (const [text, what] of command.examples) lines.push(`  # ${what}`, `  ${text}`);
  }
  return lines.join('\n');
}

function list(commands: readonly Command[]): string[] {
  return [
    'Commands:',
    ...alignRows(
      commands.map((row) => [`  postern ${[...row.path, ...row.args.map(argText)].join(' ')}`, row.summary]),
    ),
  ];
}

function flagLines(title: string, flags: readonly Flag[]): string[] {
  const rows = flags.map((flag) => {
    const value = flag.value ? ` ${flag.value}` : '';
    const notes = [
      flag.choices ? flag.choices.join(', ') : '',
      flag.many ? 'may be repeated' : '',
      flag.env ? `or ${flag.env}` : '',
      flag.default !== undefined ? `default ${flag.default}` : '',
    ].filter((note) => note !== '');
    const summary = notes.length > 0 ? `${flag.summary} (${notes.join('; ')})` : flag.summary;
    return [`  ${flag.short ? `-${flag.short}, ` : '    '}--${flag.name}${value}`, summary];
  });
  return [`${title}:`, ...alignRows(rows)];
}

function argText(arg: Arg): string {
  const text = arg.many ? `${arg.name}...` : arg.name;
  return arg.optional ? `[${text}]` : text;
}
