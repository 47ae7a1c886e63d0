/**
 * Whether Go's regexp package (RE2, Perl flags) would compile a text: what Cilium asks of `path` and `method`. Only the
 * syntax; nothing is matched. Limits on size and nesting are not checked.
 */

/** What is wrong, in Go's words, or undefined. */
export function regexProblem(text: string): string | undefined {
  const reader: Reader = { chars: Array.from(text), at: 0, depth: 0 };
  try {
    readAlternatives(reader);
    if (reader.at < reader.chars.length) fail('unexpected )');
    return undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return error.message;
    throw error;
  }
}

interface Reader {
  readonly chars: readonly string[];
  at: number;
  depth: number;
}

const MAX_DEPTH = 1000;
const MAX_REPEAT = 1000;
const POSIX_CLASSES = 'alnum alpha ascii blank cntrl digit graph lower print punct space upper word xdigit'.split(' ');

function fail(message: string): never {
  throw new SyntaxError(message);
}

function readAlternatives(reader: Reader): void {
  if (++reader.depth > MAX_DEPTH) fail('expression nests too deeply');
  for (;;) {
    readSequence(reader);
    if (reader.chars[reader.at] !== '|') break;
    reader.at++;
  }
  reader.depth--;
}

function readSequence(reader: Reader): void {
  let repeatable = false;
  for (
    let char = reader.chars[reader.at];
    char !== undefined && char !== '|' && char !== ')';
    char = reader.chars[reader.at]
  ) {
    if (readRepetition(reader)) {
      if (!repeatable) fail(`missing argument to repetition operator: \`${char}\``);
      if (reader.chars[reader.at] === '?') reader.at++;
      if (readRepetition(reader)) fail(`invalid nested repetition operator after \`${char}\``);
      repeatable = false;
    } else {
      repeatable = readAtom(reader, char);
    }
  }
}

/** Steps over `* + ? {n,m}`; a brace that is no count is an ordinary character. */
function readRepetition(reader: Reader): boolean {
  const char = reader.chars[reader.at];
  if (char === '*' || char === '+' || char === '?') {
    reader.at++;
    return true;
  }
  if (char !== '{') return false;
  const count = /^\{(\d+)(,(\d*))?\}/.exec(reader.chars.slice(reader.at, reader.at + 24).join(''));
  if (!count) return false;
  const from = Number(count[1]);
  const to = count[3] ? Number(count[3]) : from;
  if (from > MAX_REPEAT || to > MAX_REPEAT || from > to) fail(`invalid repeat count: \`${count[0]}\``);
  reader.at += count[0].length;
  return true;
}

/** Whether it may be repeated: flags alone may not. */
function readAtom(reader: Reader, char: string): boolean {
  reader.at++;
  if (char === '(') return readGroup(reader);
  if (char === '[') readClass(reader);
  else if (char === '\\') readEscape(reader);
  return true;
}

function readGroup(reader: Reader): boolean {
  if (reader.chars[reader.at] === '?') {
    const head = /^\?(P?<[A-Za-z_][A-Za-z0-9_]*>|[imsU]*(?:-[imsU]+)?[:)])/.exec(
      reader.chars.slice(reader.at, reader.at + 80).join(''),
    );
    if (!head) fail('invalid or unsupported Perl syntax: `(?`');
    reader.at += head[0].length;
    if (head[0].endsWith(')')) return false;
  }
  readAlternatives(reader);
  if (reader.chars[reader.at++] !== ')') fail('missing closing )');
  return true;
}

function readClass(reader: Reader): void {
  if (reader.chars[reader.at] === '^') reader.at++;
  for (let first = true; first || reader.chars[reader.at] !== ']'; first = false) {
    if (reader.at >= reader.chars.length) fail('missing closing ]');
    const rest = reader.chars.slice(reader.at, reader.at + 12).join('');
    const posix = /^\[:\^?([a-z]*):\]/.exec(rest);
    if (posix) {
      if (!POSIX_CLASSES.includes(posix[1]!)) fail(`invalid character class range: \`${posix[0]}\``);
      reader.at += posix[0].length;
      continue;
    }
    const low = readClassMember(reader);
    if (reader.chars[reader.at] !== '-' || reader.chars[reader.at + 1] === ']') continue;
    if (low === undefined) continue;
    reader.at++;
    const high = readClassMember(reader);
    if (high === undefined || high < low) fail('invalid character class range');
  }
  reader.at++;
}

/** A character's number, or undefined for a set such as `\d`. */
function readClassMember(reader: Reader): number | undefined {
  const char = reader.chars[reader.at++];
  if (char === undefined) return fail('missing closing ]');
  return char === '\\' ? readEscape(reader) : char.codePointAt(0);
}

const NAMED: Readonly<Record<string, number>> = { a: 7, f: 12, n: 10, r: 13, t: 9, v: 11 };

function readEscape(reader: Reader): number | undefined {
  const char = reader.chars[reader.at++];
  if (char === undefined) return fail('trailing backslash at end of expression');
  const rest = reader.chars.slice(reader.at, reader.at + 40).join('');
  if ('dDsSwWAbBz'.includes(char)) return undefined;
  if (char === 'Q') {
    while (
      reader.at < reader.chars.length &&
      !(reader.chars[reader.at] === '\\' && reader.chars[reader.at + 1] === 'E')
    )
      reader.at++;
    reader.at += 2;
    return undefined;
  }
  if (char === 'p' || char === 'P') return skip(reader, /^(\{\^?[A-Za-z_]+\}|[A-Z])/.exec(rest), char);
  if (char === 'x') {
    const hex = /^(?:\{([0-9A-Fa-f]+)\}|([0-9A-Fa-f]{2}))/.exec(rest);
    skip(reader, hex, char);
    const code = Number.parseInt(hex![1] ?? hex![2]!, 16);
    return code <= 0x10ffff ? code : fail(`invalid escape sequence: \`\\x${hex![0]}\``);
  }
  const octal = /^[0-7]{1,3}/.exec(char + rest);
  if (octal && (char === '0' || octal[0].length > 1)) {
    reader.at += octal[0].length - 1;
    return Number.parseInt(octal[0], 8);
  }
  if (NAMED[char] !== undefined) return NAMED[char];
  const code = char.codePointAt(0)!;
  return code < 0x80 && !/[A-Za-z0-9]/.test(char) ? code : fail(`invalid escape sequence: \`\\${char}\``);
}

function skip(reader: Reader, found: RegExpExecArray | null, char: string): undefined {
  if (!found) fail(`invalid escape sequence: \`\\${char}\``);
  reader.at += found[0].length;
}
