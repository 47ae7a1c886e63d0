/**
 * The pattern language of `match`: anchored globs over paths and unit names.
 * `*` any run without `/`, `**` any run, `?` one character but `/`, `[a-z]` `[!a-z]` one of a class (never `/`), `\` escapes.
 * Matching is by simulation of all states at once: linear in text times pattern, whatever the pattern.
 */
export type GlobToken =
  | { readonly kind: 'literal'; readonly char: string }
  | { readonly kind: 'segment' }
  | { readonly kind: 'deep' }
  | { readonly kind: 'any' }
  | { readonly kind: 'class'; readonly negated: boolean; readonly ranges: readonly (readonly [string, string])[] };

export interface Glob {
  readonly source: string;
  readonly tokens: readonly GlobToken[];
}

export type ParsedGlob =
  | { readonly ok: true; readonly glob: Glob }
  /** `column` counts characters from 1. */
  | { readonly ok: false; readonly message: string; readonly column: number };

export function parseGlob(source: string): ParsedGlob {
  const chars = Array.from(source);
  const tokens: GlobToken[] = [];
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i]!;
    if (char === '\\') {
      const next = chars[++i];
      if (next === undefined) return failed('"\\" at the end escapes nothing', i - 1);
      tokens.push({ kind: 'literal', char: next });
    } else if (char === '*') {
      let stars = 1;
      while (chars[i + 1] === '*') {
        stars++;
        i++;
      }
      tokens.push({ kind: stars === 1 ? 'segment' : 'deep' });
    } else if (char === '?') {
      tokens.push({ kind: 'any' });
    } else if (char === '[') {
      const parsed = parseClass(chars, i);
      if (!parsed.ok) return parsed;
      tokens.push(parsed.token);
      i = parsed.end;
    } else {
      tokens.push({ kind: 'literal', char });
    }
  }
  return { ok: true, glob: { source, tokens } };
}

/** For patterns that were validated before; throws on a syntax error. */
export function toGlob(source: string): Glob {
  const parsed = parseGlob(source);
  if (!parsed.ok) throw new Error(`Cannot read glob "${source}": ${parsed.message} at column ${parsed.column}`);
  return parsed.glob;
}

/** Does the whole text match? */
export function globMatches(glob: Glob, text: string): boolean {
  const { tokens } = glob;
  let states = reach(tokens, [0]);
  for (const char of text) {
    const next: number[] = [];
    for (const at of states) {
      const token = tokens[at];
      if (token === undefined || !accepts(token, char)) continue;
      next.push(isStar(token) ? at : at + 1);
    }
    if (next.length === 0) return false;
    states = reach(tokens, next);
  }
  return states.has(tokens.length);
}

/** The one text that matches, without escapes; undefined when the pattern has a wildcard. */
export function globLiteral(glob: Glob): string | undefined {
  return glob.tokens.every((token) => token.kind === 'literal') ? literalText(glob.tokens) : undefined;
}

/** How many characters are spelled out: the last but one field of the precedence. */
export function globLiteralLength(glob: Glob): number {
  return glob.tokens.filter((token) => token.kind === 'literal').length;
}

export interface Affix {
  readonly prefix: string;
  readonly suffix: string;
  /** What stands between: nothing (prefix is the whole text), a run without `/`, any run. */
  readonly star: 'none' | 'segment' | 'deep';
}

/** The pattern as literal prefix, at most one star, literal suffix: what the kernel decides. Else undefined. */
export function globAffix(glob: Glob): Affix | undefined {
  const first = glob.tokens.findIndex((token) => token.kind !== 'literal');
  if (first < 0) return { prefix: literalText(glob.tokens), suffix: '', star: 'none' };
  const star = glob.tokens[first]!;
  const rest = glob.tokens.slice(first + 1);
  if (star.kind !== 'segment' && star.kind !== 'deep') return undefined;
  if (!rest.every((token) => token.kind === 'literal')) return undefined;
  return { prefix: literalText(glob.tokens.slice(0, first)), suffix: literalText(rest), star: star.kind };
}

export function affixMatches(affix: Affix, text: string): boolean {
  if (affix.star === 'none') return text === affix.prefix;
  if (text.length < affix.prefix.length + affix.suffix.length) return false;
  if (!text.startsWith(affix.prefix) || !text.endsWith(affix.suffix)) return false;
  return affix.star === 'deep' || !text.slice(affix.prefix.length, text.length - affix.suffix.length).includes('/');
}

/** Is there a text that both match? Classes count as "any character but `/`", so a yes may be a maybe. */
export function globsOverlap(a: Glob, b: Glob): boolean {
  const width = b.tokens.length + 1;
  const seen = new Set<number>();
  const work: (readonly [number, number])[] = [[0, 0]];
  const visit = (i: number, j: number): void => {
    if (seen.has(i * width + j)) return;
    seen.add(i * width + j);
    work.push([i, j]);
  };
  for (let pair = work.pop(); pair !== undefined; pair = work.pop()) {
    const [i, j] = pair;
    const s = a.tokens[i];
    const t = b.tokens[j];
    if (s === undefined && t === undefined) return true;
    if (s !== undefined && isStar(s)) visit(i + 1, j);
    if (t !== undefined && isStar(t)) visit(i, j + 1);
    if (s === undefined || t === undefined || !share(s, t)) continue;
    visit(isStar(s) ? i : i + 1, isStar(t) ? j : j + 1);
  }
  return false;
}

function parseClass(
  chars: readonly string[],
  start: number,
): { ok: true; token: GlobToken; end: number } | { ok: false; message: string; column: number } {
  let i = start + 1;
  const negated = chars[i] === '!' || chars[i] === '^';
  if (negated) i++;
  const ranges: [string, string][] = [];
  // A "]" directly after "[" or "[!" stands for itself, as in POSIX.
  for (let first = true; first || chars[i] !== ']'; first = false) {
    const low = takeClassChar(chars, i);
    if (low === undefined) return failed('"[" is never closed by "]"', start);
    i = low.next;
    if (chars[i] !== '-' || chars[i + 1] === ']' || chars[i + 1] === undefined) {
      ranges.push([low.char, low.char]);
      continue;
    }
    const high = takeClassChar(chars, i + 1);
    if (high === undefined) return failed('"[" is never closed by "]"', start);
    if (high.char < low.char) return failed(`range "${low.char}-${high.char}" runs backwards`, i - 1);
    ranges.push([low.char, high.char]);
    i = high.next;
  }
  return { ok: true, token: { kind: 'class', negated, ranges }, end: i };
}

function takeClassChar(chars: readonly string[], at: number): { char: string; next: number } | undefined {
  const escaped = chars[at] === '\\';
  const char = chars[escaped ? at + 1 : at];
  return char === undefined ? undefined : { char, next: at + (escaped ? 2 : 1) };
}

function failed(message: string, index: number): { ok: false; message: string; column: number } {
  return { ok: false, message, column: index + 1 };
}

/** All states reachable without reading a character: a star may also stand for nothing. */
function reach(tokens: readonly GlobToken[], states: readonly number[]): Set<number> {
  const reached = new Set<number>();
  for (let at of states) {
    while (!reached.has(at)) {
      reached.add(at);
      const token = tokens[at];
      if (token === undefined || !isStar(token)) break;
      at++;
    }
  }
  return reached;
}

function isStar(token: GlobToken): boolean {
  return token.kind === 'segment' || token.kind === 'deep';
}

function accepts(token: GlobToken, char: string): boolean {
  if (token.kind === 'literal') return token.char === char;
  if (token.kind === 'deep') return true;
  if (char === '/') return false;
  if (token.kind !== 'class') return true;
  return token.ranges.some(([low, high]) => low <= char && char <= high) !== token.negated;
}

function share(s: GlobToken, t: GlobToken): boolean {
  if (s.kind === 'literal') return accepts(t, s.char);
  if (t.kind === 'literal') return accepts(s, t.char);
  return true;
}

function literalText(tokens: readonly GlobToken[]): string {
  return tokens.map((token) => (token.kind === 'literal' ? token.char : '')).join('');
}
