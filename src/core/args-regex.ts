import { parseArgsRegex, type RegexNode } from './args-regex-parse.ts';
import type { Parsed } from './match-listen.ts';

/**
 * A regular expression over argv joined by single spaces, found anywhere unless `^` or `$` say otherwise. All states are
 * advanced at once, so that time is text times states whatever the pattern; what needs memory of the text (back
 * references, lookaround) is refused.
 */
export interface ArgsRegex {
  readonly source: string;
  /** State 0 is the end. */
  readonly states: readonly State[];
  readonly start: number;
}

type State =
  | { readonly kind: 'end' }
  | { readonly kind: 'char'; readonly accepts: (char: string) => boolean; readonly next: number }
  | { readonly kind: 'anchor'; readonly at: 'start' | 'end'; readonly next: number }
  | { readonly kind: 'split'; readonly next: readonly number[] };

const STATES_MAX = 1000;

export function readArgsRegex(source: string): Parsed<ArgsRegex> {
  const parsed = parseArgsRegex(source);
  if (!parsed.ok) return parsed;
  const states: State[] = [{ kind: 'end' }];
  const start = compile(states, parsed.value, 0);
  if (states.length > STATES_MAX)
    return { ok: false, message: `needs more than ${STATES_MAX} states: make its repetitions smaller` };
  const regex = { source, states, start };
  if (argsRegexMatches(regex, [''])) return { ok: false, message: 'matches every process' };
  return { ok: true, value: regex };
}

export function argsRegexMatches({ states, start }: ArgsRegex, args: Iterable<string>): boolean {
  const text = [...args].join(' ');
  let active = new Set<number>();
  let at = 0;
  const reach = (into: Set<number>, from: number, isEnd: boolean): void => {
    const work = [from];
    for (let id = work.pop(); id !== undefined; id = work.pop()) {
      const state = states[id]!;
      if (into.has(id)) continue;
      if (state.kind === 'anchor' && !(state.at === 'start' ? at === 0 : isEnd)) continue;
      into.add(id);
      if (state.kind === 'anchor') work.push(state.next);
      else if (state.kind === 'split') work.push(...state.next);
    }
  };
  for (const char of text) {
    reach(active, start, false);
    if (active.has(0)) return true;
    const isEnd = at + char.length === text.length;
    const before = active;
    active = new Set();
    at += char.length;
    for (const id of before) {
      const state = states[id]!;
      if (state.kind === 'char' && state.accepts(char)) reach(active, state.next, isEnd);
    }
  }
  reach(active, start, true);
  return active.has(0);
}

/** Adds the states of `node`, which go on at `next`; the number of its first one. */
function compile(states: State[], node: RegexNode, next: number): number {
  if (states.length > STATES_MAX) return next;
  switch (node.kind) {
    case 'char':
      return states.push({ kind: 'char', accepts: node.accepts, next }) - 1;
    case 'anchor':
      return states.push({ kind: 'anchor', at: node.at, next }) - 1;
    case 'sequence':
      return node.parts.reduceRight((after, part) => compile(states, part, after), next);
    case 'choice': {
      const starts = node.parts.map((part) => compile(states, part, next));
      return states.push({ kind: 'split', next: starts }) - 1;
    }
    case 'repeat': {
      let after = next;
      if (node.max === Number.POSITIVE_INFINITY) {
        const loop: number[] = [next];
        after = states.push({ kind: 'split', next: loop }) - 1;
        loop.push(compile(states, node.part, after));
      } else {
        for (let i = node.min; i < node.max && states.length <= STATES_MAX; i++)
          after = states.push({ kind: 'split', next: [next, compile(states, node.part, after)] }) - 1;
      }
      for (let i = 0; i < node.min && states.length <= STATES_MAX; i++) after = compile(states, node.part, after);
      return after;
    }
  }
}
