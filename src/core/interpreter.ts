/** How the arguments of an interpreter are read. */
export type InterpreterKind = 'script' | 'shell' | 'java';

/**
 * Programs whose executable says nothing: what they run is in the arguments. By the name of the executable's file, all
 * versions spelled out: the kernel looks the name up.
 */
export const INTERPRETERS: ReadonlyMap<string, InterpreterKind> = new Map([
  ...kinds('script', [
    ...versions('python', ['2', '2.6', '2.7', '3', ...minors('3.', 0, 40)]),
    ...versions('pypy', ['2', '3', ...minors('3.', 5, 14)]),
    ...versions('perl', ['5', ...minors('5.', 8, 60)]),
    ...versions('ruby', ['2', '3', '4', ...minors('2.', 0, 7), ...minors('3.', 0, 9), ...minors('4.', 0, 9)]),
    ...versions('php', ['5', '7', '8', ...minors('5.', 3, 6), ...minors('7.', 0, 4), ...minors('8.', 0, 9), '9']),
    ...versions('lua', ['5', ...minors('5.', 1, 5)]),
    ...versions('tclsh', ['8', '9', ...minors('8.', 4, 7), ...minors('9.', 0, 5)]),
    ...['node', 'nodejs', 'bun', 'deno'],
  ]),
  ...kinds('shell', ['sh', 'bash', 'dash', 'ash', 'zsh', 'zsh5', 'ksh', 'ksh88', 'ksh93', 'ksh2020', 'mksh']),
  ...kinds('java', ['java']),
]);

/** What an option means for the search: there is no script, or the next argument is its value, or is the script. */
export type OptionAction = 'ends' | 'takesValue' | 'takesScript';

/** Options that matter, by kind; of a shell's see also `shellOption`. */
export const OPTIONS: Readonly<Record<InterpreterKind, ReadonlyMap<string, OptionAction>>> = {
  script: new Map([
    ...actions('ends', ['-m', '-c', '-e', '--eval', '-']),
    ...actions('takesValue', ['-W', '-X', '-r', '--require', '-I', '--import', '--loader', '-d', '--title']),
  ]),
  shell: new Map(actions('takesValue', ['--rcfile', '--init-file'])),
  java: new Map([
    ...actions('ends', ['-m', '--module']),
    ...actions('takesScript', ['-jar']),
    ...actions('takesValue', ['-cp', '-classpath', '--class-path', '-p', '--module-path']),
    ...actions('takesValue', ['--add-modules', '--add-opens', '--add-exports', '--add-reads']),
  ]),
};

/** Anything but the `java` of any version. */
export function isInterpreter(exe: string | undefined): boolean {
  const kind = kindOf(exe);
  return kind !== undefined && kind !== 'java';
}

/** A script that rewrote its arguments (setproctitle): what runs is known only to who saw its exec. */
export function hidesScript({ exe, script }: { readonly exe?: string; readonly script?: string }): boolean {
  return script === undefined && isInterpreter(exe);
}

/** The `java` of any version: the main class or `-jar` is what it runs. */
export function isJava(exe: string | undefined): boolean {
  return kindOf(exe) === 'java';
}

interface Interpreted {
  readonly exe?: string;
  readonly args: readonly string[];
}

/**
 * The argument that says which program an interpreter runs, as it stands in argv: the script, `module` after `-m`, the
 * jar after `-jar`, the main class. Undefined = none, or a shape that is not known.
 */
export function scriptOf(process: Interpreted): string | undefined {
  const { file, other } = walk(process);
  return file ?? other;
}

/**
 * The file that it runs, as written in argv (it may be relative): the script or jar. A `#!` file looks the same, since the
 * kernel puts its name behind the interpreter's. Undefined for a module, a class, `-c` and what is no interpreter.
 * bpf/script.h walks the same way.
 */
export function scriptFileOf(process: Interpreted): string | undefined {
  return walk(process).file;
}

/** `other`: what is run, and is no file. */
function walk({ exe, args }: Interpreted): { file?: string; other?: string | undefined } {
  const kind = kindOf(exe);
  if (kind === undefined) return {};
  for (let i = 1; i < args.length; i++) {
    const arg = args[i]!;
    if (!isOption(arg, kind)) return kind === 'java' ? { other: arg } : arg === '' ? {} : { file: arg };
    const action = (kind === 'shell' ? shellOption(arg) : undefined) ?? OPTIONS[kind].get(arg);
    const next = args[i + 1];
    if (action === 'ends') return arg === '-m' || arg === '--module' ? { other: next } : {};
    if (action === 'takesScript') return next === undefined ? {} : { file: next };
    if (action === 'takesValue') i++;
  }
  return {};
}

function isOption(arg: string, kind: InterpreterKind): boolean {
  return arg.startsWith('-') || (kind === 'shell' && arg.startsWith('+')) || (kind === 'java' && arg.startsWith('@'));
}

/** `-c` among the letters: the program is a text. An `o` at the end takes a value. Here `-e` is "end at the first error". */
function shellOption(arg: string): OptionAction | undefined {
  const letters = arg.slice(1, 16);
  if (letters.includes('-')) return undefined;
  if (arg.startsWith('-') && letters.includes('c')) return 'ends';
  return /[oO]$/.test(letters) ? 'takesValue' : undefined;
}

function kindOf(exe: string | undefined): InterpreterKind | undefined {
  return exe?.includes('/') ? INTERPRETERS.get(exe.slice(exe.lastIndexOf('/') + 1)) : undefined;
}

function versions(name: string, list: readonly string[]): string[] {
  return [name, ...list.map((version) => name + version)];
}

function minors(major: string, from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, i) => `${major}${from + i}`);
}

function kinds(kind: InterpreterKind, names: readonly string[]): [string, InterpreterKind][] {
  return names.map((name) => [name, kind]);
}

function actions(action: OptionAction, options: readonly string[]): [string, OptionAction][] {
  return options.map((option) => [option, action]);
}
