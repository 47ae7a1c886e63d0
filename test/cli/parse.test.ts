import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { COMMANDS } from '../../src/cli/commands.ts';
import { Failure } from '../../src/cli/failure.ts';
import { parse } from '../../src/cli/parse.ts';

const words = (line: string) => [...line.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2]!);

function ok(line: string, env: Record<string, string> = {}) {
  const parsed = parse(COMMANDS, words(line), env);
  assert.is(parsed.kind, 'run', line);
  return parsed as Extract<typeof parsed, { kind: 'run' }>;
}

function refused(line: string): string {
  try {
    parse(COMMANDS, words(line), {});
  } catch (error) {
    assert.instance(error, Failure);
    assert.is((error as Failure).exit, 2);
    return [(error as Failure).message, ...(error as Failure).details].join('\n');
  }
  throw new Error(`"${line}" was not refused`);
}

test('the command is the longest path that the words begin with', () => {
  assert.equal(ok('agent').command.path, ['agent']);
  assert.equal(ok('agent status').command.path, ['agent', 'status']);
  assert.equal(ok('workload get shop/frontend').args, ['shop/frontend']);
});

test('a word that names a command later on is an argument', () => {
  assert.equal(ok('get workloads list').args, ['workloads', 'list']);
  assert.equal(ok('help agent status').args, ['agent', 'status']);
});

test('global flags may stand anywhere', () => {
  for (const line of [
    '-o json workload list',
    'workload -o json list',
    'workload list -o json',
    'workload list -ojson',
    'workload list --output=json',
  ]) {
    assert.is(ok(line).flags.text('output'), 'json', line);
  }
});

test('a value may begin with a dash when it is joined by =', () => {
  assert.equal(ok('workload put a/b --arg=-jar --arg=--port=*').flags.list('arg'), ['-jar', '--port=*']);
});

test('after -- everything is an argument', () => {
  assert.equal(ok('__complete -- workload put --la').args, ['workload', 'put', '--la']);
});

test('a flag wins over its variable, the variable over the default', () => {
  assert.is(ok('status').flags.text('run-dir'), '/run/postern');
  assert.is(ok('status', { POSTERN_RUN_DIR: '/run/b' }).flags.text('run-dir'), '/run/b');
  assert.is(ok('status --run-dir /run/c', { POSTERN_RUN_DIR: '/run/b' }).flags.text('run-dir'), '/run/c');
});

test('an empty variable counts as absent', () => {
  assert.is(ok('status', { POSTERN_SERVER: '' }).flags.text('server'), undefined);
});

test('choices are compared without case', () => {
  assert.is(ok('observe --verdict dropped').flags.text('verdict'), 'DROPPED');
});

test('a flag that may be repeated takes several choices with commas', () => {
  assert.equal(ok('observe --verdict dropped,audit --verdict error').flags.list('verdict'), ['DROPPED,AUDIT', 'ERROR']);
  assert.match(refused('observe --verdict dropped,x'), /--verdict "x": allowed are/);
});

test('-f is --follow where flows are shown and --file where documents are taken', () => {
  assert.ok(ok('observe -f').flags.on('follow'));
  assert.equal(ok('apply -f a -f b').flags.list('file'), ['a', 'b']);
});

test('--help anywhere asks for help about the words so far', () => {
  assert.equal(parse(COMMANDS, words('workload put --help'), {}), { kind: 'help', path: ['workload', 'put'] });
  assert.equal(parse(COMMANDS, words('-h workload'), {}), { kind: 'help', path: ['workload'] });
  assert.equal(parse(COMMANDS, [], {}), { kind: 'help', path: [] });
});

const REFUSALS: readonly (readonly [string, RegExp])[] = [
  ['observ', /unknown command "observ"; did you mean "postern observe"\?/],
  ['workload lsit', /unknown command "workload lsit"; did you mean "postern workload list"\?/],
  ['agent statsu', /did you mean "postern agent status"\?/],
  ['workload', /"postern workload" needs one of: list, get, put, delete/],
  ['frobnicate', /unknown command "frobnicate"\nknown: status, observe/],
  ['observe --verdit DROPPED', /unknown flag --verdit of "postern observe"; did you mean --verdict\?/],
  ['observe -verdict DROPPED', /unknown flag -verdict of "postern observe"; did you mean --verdict\?/],
  ['workload list -z', /unknown flag -z of "postern workload list"/],
  ['--file x apply', /unknown flag --file before a command; flags of a command come after its name/],
  ['status -o jsn', /--output "jsn": allowed are table, json, yaml; did you mean json\?/],
  ['status -o', /--output needs a value: --output FORMAT/],
  ['status --server a --server b', /--server is given twice: "a" and "b"/],
  ['status --show-curl=yes', /--show-curl is a switch: it takes no value \("yes"\)/],
  ['workload get', /"postern workload get" needs NAMESPACE\/NAME/],
  ['workload get a/b c/d', /"postern workload get" does not take "c\/d"/],
  ['status now', /"postern status" does not take "now"/],
  ['apply --watch -f x', /unknown flag --watch of "postern apply"/],
];
for (const [line, expected] of REFUSALS)
  test(`"postern ${line}" is refused`, () => assert.match(refused(line), expected));

test('a variable with a wrong value is refused by its name', () => {
  const commands = [
    {
      ...COMMANDS[0]!,
      flags: [{ name: 'mode', value: 'MODE', summary: '', choices: ['a', 'b'], env: 'POSTERN_MODE' }],
    },
  ];
  assert.throws(
    () => parse(commands, [...COMMANDS[0]!.path], { POSTERN_MODE: 'c' }),
    /POSTERN_MODE "c": allowed are a, b/,
  );
});

test('a flag that a command does not declare cannot be read', () => {
  assert.throws(() => ok('status').flags.text('label'), /does not declare/);
});

test('every example of the help is a command line that parses', () => {
  for (const command of COMMANDS) {
    for (const [line] of command.examples) {
      const own = /(?:^|\s|\()postern (.*)/.exec(line);
      assert.ok(own, line);
      const end = own![1]!.search(/ [|><]|\)$| \|\| /);
      const argv = words(end < 0 ? own![1]! : own![1]!.slice(0, end));
      const parsed = parse(COMMANDS, argv, {});
      const expected = command.path.join(' ');
      if (parsed.kind === 'run') assert.is(parsed.command.path.join(' '), expected, line);
    }
  }
});

test('no command declares a flag twice, or hides a global one', async () => {
  const { GLOBAL_FLAGS } = await import('../../src/cli/global-flags.ts');
  for (const command of COMMANDS) {
    const flags = [...GLOBAL_FLAGS, ...command.flags];
    const names = flags.flatMap((flag) => [`--${flag.name}`, ...(flag.short ? [`-${flag.short}`] : [])]);
    assert.equal(
      names.filter((name, i) => names.indexOf(name) !== i),
      [],
      command.path.join(' '),
    );
  }
});

test.run();
