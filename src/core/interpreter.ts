/** Programs whose executable says nothing: what they run is in the arguments. */
export function isInterpreter(exe: string | undefined): boolean {
  return (
    exe !== undefined &&
    /\/(python[\d.]*|pypy[\d.]*|perl[\d.]*|ruby[\d.]*|node|nodejs|bun|deno|php[\d.]*|bash|dash|ksh\w*|zsh|sh|lua[\d.]*|tclsh[\d.]*)$/.test(
      exe,
    )
  );
}

/** The `java` of any version: the main class or `-jar` is what it runs. */
export function isJava(exe: string | undefined): boolean {
  return exe !== undefined && /\/java$/.test(exe);
}

/**
 * The argument that says which program an interpreter runs, as it stands in argv: the script, `module` after `-m`, the
 * jar after `-jar`, the main class. Undefined = none, or a shape that is not known.
 */
export function scriptOf(process: { readonly exe?: string; readonly args: readonly string[] }): string | undefined {
  const rest = process.args.slice(1);
  if (isJava(process.exe)) return javaProgram(rest);
  if (!isInterpreter(process.exe)) return undefined;
  for (let i = 0; i < rest.length; i++) {
    const arg = rest[i]!;
    if (isShell(process.exe!)) {
      if (/^-\w*c\w*$/.test(arg)) return undefined;
      if (/^[-+]\w*[oO]$/.test(arg)) i++;
      else if (!/^[-+]/.test(arg)) return arg;
      continue;
    }
    if (arg === '-m') return rest[i + 1];
    if (arg === '-c' || arg === '-e' || arg === '--eval' || arg === '-') return undefined;
    if (TAKES_VALUE.has(arg)) i++;
    else if (!arg.startsWith('-')) return arg;
  }
  return undefined;
}

/**
 * The file that it runs, as written in argv (it may be relative): the script or jar. A `#!` file looks the same, since the
 * kernel puts its name behind the interpreter's. Undefined for a module, a class, `-c` and what is no interpreter.
 */
export function scriptFileOf(process: { readonly exe?: string; readonly args: readonly string[] }): string | undefined {
  const script = scriptOf(process);
  if (script === undefined) return undefined;
  const before = process.args[process.args.indexOf(script, 1) - 1];
  if (isJava(process.exe)) return before === '-jar' ? script : undefined;
  return before === '-m' ? undefined : script;
}

/** Of these `-e` is "end at the first error". */
function isShell(exe: string): boolean {
  return /\/(bash|dash|ksh\w*|zsh|sh)$/.test(exe);
}

const TAKES_VALUE = new Set(['-W', '-X', '-r', '--require', '-I', '--import', '--loader', '-d', '--title']);

function javaProgram(rest: readonly string[]): string | undefined {
  const valued = new Set([
    '-cp',
    '-classpath',
    '--class-path',
    '-p',
    '--module-path',
    '--add-modules',
    '--add-opens',
    '--add-exports',
    '--add-reads',
  ]);
  for (let i = 0; i < rest.length; i++) {
    const arg = rest[i]!;
    if (arg === '-jar' || arg === '-m' || arg === '--module') return rest[i + 1];
    if (valued.has(arg)) i++;
    else if (!arg.startsWith('-') && !arg.startsWith('@')) return arg;
  }
  return undefined;
}
