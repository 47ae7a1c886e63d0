import type { Parsed } from './match-listen.ts';

export type RegexNode =
  | { readonly kind: 'char'; readonly accepts: (char: string) => boolean }
  | { readonly kind: 'anchor'; readonly at: 'start' | 'end' }
  | { readonly kind: 'sequence' | 'choice'; readonly parts: readonly RegexNode[] }
  | { readonly kind: 'repeat'; readonly part: RegexNode; readonly min: number; readonly max: number };

/** Literals, `.`, `[a-z]`, `\d \w \s` and their opposites, `( )`, `|`, `* + ? {m,n}`, `^`, `$`; all else is refused by name. */
export function parseArgsRegex(source: string): Parsed<RegexNode> {
  const reader: Reader = { chars: Array.from(source), at: 0 };
  try {
    const node = choice(reader, 0);
    if (reader.at < reader.chars.length) fail(reader, '")" without "("');
    return { ok: true, value: node };
  } catch (error) {
    if (error instanceof SyntaxError) return { ok: false, message: error.message };
    throw error;
  }
}

interface Reader {
  readonly chars: readonly string[];
  at: number;
}

const DEPTH_MAX = 50;
const REPEAT_MAX = 255;

function choice(reader: Reader, depth: number): RegexNode {
  if (depth > DEPTH_MAX) fail(reader, `groups are nested more than ${DEPTH_MAX} deep`);
  const parts = [sequence(reader, depth)];
  while (reader.chars[reader.at] === '|') {
    reader.at++;
    parts.push(sequence(reader, depth));
  }
  return parts.length === 1 ? parts[0]! : { kind: 'choice', parts };
}

function sequence(reader: Reader, depth: number): RegexNode {
  const parts: RegexNode[] = [];
  for (let char = reader.chars[reader.at]; char !== undefined && char !== '|' && char !== ')'; ) {
    parts.push(repeated(reader, atom(reader, depth)));
    char = reader.chars[reader.at];
  }
  return { kind: 'sequence', parts };
}

function atom(reader: Reader, depth: number): RegexNode {
  const char = reader.chars[reader.at++]!;
  if (char === '^') return { kind: 'anchor', at: 'start' };
  if (char === '$') return { kind: 'anchor', at: 'end' };
  if (char === '.') return { kind: 'char', accepts: () => true };
  if (char === '[') return { kind: 'char', accepts: charClass(reader) };
  if (char === '\\') return { kind: 'char', accepts: escaped(reader) };
  if (char === '(') return group(reader, depth);
  if ('*+?{'.includes(char)) fail(reader, `"${char}" repeats nothing`, 1);
  return { kind: 'char', accepts: (other) => other === char };
}

function group(reader: Reader, depth: number): RegexNode {
  if (reader.chars[reader.at] === '?') {
    if (reader.chars[reader.at + 1] !== ':') fail(reader, 'of "(?" only "(?:" can be decided in linear time', 1);
    reader.at += 2;
  }
  const node = choice(reader, depth + 1);
  if (reader.chars[reader.at++] !== ')') fail(reader, '"(" is never closed', 1);
  return node;
}

function repeated(reader: Reader, part: RegexNode): RegexNode {
  const bounds = quantifier(reader);
  if (bounds === undefined) return part;
  if (part.kind === 'anchor') fail(reader, 'an anchor cannot be repeated', 1);
  if ('*+?{'.includes(reader.chars[reader.at] ?? ' '))
    fail(reader, `"${reader.chars[reader.at]}" after a repetition: put it in "( )"`);
  return { kind: 'repeat', part, ...bounds };
}

function quantifier(reader: Reader): { min: number; max: number } | undefined {
  const char = reader.chars[reader.at];
  if (char === '*' || char === '+' || char === '?') {
    reader.at++;
    return { min: char === '+' ? 1 : 0, max: char === '?' ? 1 : Number.POSITIVE_INFINITY };
  }
  if (char !== '{') return undefined;
  const match = /^\{(\d{1,3})(,(\d{1,3})?)?\}/.exec(reader.chars.slice(reader.at, reader.at + 10).join(''));
  if (match === null) return fail(reader, '"{" must be {m}, {m,} or {m,n}; the character itself is "\\{"');
  const min = Number(match[1]);
  const max = match[2] === undefined ? min : match[3] === undefined ? Number.POSITIVE_INFINITY : Number(match[3]);
  if (max < min || Math.max(min, max === Number.POSITIVE_INFINITY ? 0 : max) > REPEAT_MAX)
    fail(reader, `"${match[0]}" must rise, to at most ${REPEAT_MAX}`);
  reader.at += match[0].length;
  return { min, max };
}

const CLASSES: Readonly<Record<string, RegExp>> = { d: /^[0-9]$/, w: /^[A-Za-z0-9_]$/, s: /^\s$/ };

/** After the backslash. */
function escaped(reader: Reader): (char: string) => boolean {
  const char = reader.chars[reader.at++];
  if (char === undefined) return fail(reader, '"\\" at the end escapes nothing', 1);
  const known = CLASSES[char.toLowerCase()];
  if (known !== undefined) return (other) => known.test(other) === char in CLASSES;
  if (/[1-9k]/.test(char)) fail(reader, `"\\${char}" refers back, which cannot be decided in linear time`, 2);
  if (/[A-Za-z0-9]/.test(char)) fail(reader, `"\\${char}" is not known: \\d \\w \\s \\D \\W \\S are`, 2);
  return (other) => other === char;
}

/** After the "[". */
function charClass(reader: Reader): (char: string) => boolean {
  const start = reader.at;
  const negated = reader.chars[reader.at] === '^';
  if (negated) reader.at++;
  const tests: ((char: string) => boolean)[] = [];
  for (let isFirst = true; isFirst || reader.chars[reader.at] !== ']'; isFirst = false) {
    const low = reader.chars[reader.at++];
    if (low === undefined) return fail({ ...reader, at: start }, '"[" is never closed by "]"', 1);
    if (low === '\\') {
      tests.push(escaped(reader));
      continue;
    }
    const high = reader.chars[reader.at] === '-' ? reader.chars[reader.at + 1] : undefined;
    if (high === undefined || high === ']') {
      tests.push((char) => char === low);
      continue;
    }
    if (high < low || high === '\\') fail(reader, `range "${low}-${high}" must run from a character to a later one`);
    reader.at += 2;
    tests.push((char) => low <= char && char <= high);
  }
  reader.at++;
  return (char) => tests.some((test) => test(char)) !== negated;
}

function fail(reader: Reader, message: string, back = 0): never {
  throw new SyntaxError(`${message} (column ${Math.max(1, reader.at + 1 - back)})`);
}
