/**
 * What JSON.parse does not say about a text: duplicate keys, and where a value stands. The text must already be known
 * to be valid JSON, so the scan only follows structure.
 */
import { pointer } from './check.ts';

interface Frame {
  /** Keys seen in this object; undefined for an array. */
  readonly keys: Set<string> | undefined;
  key: string;
  index: number;
}

export interface DuplicateKey {
  readonly path: string;
  readonly offset: number;
}

/** The first key that an object has twice, or undefined. */
export function findDuplicateKey(json: string): DuplicateKey | undefined {
  let found: DuplicateKey | undefined;
  scan(json, {
    key(path, offset, duplicate) {
      if (duplicate) found = { path: path(), offset };
      return duplicate;
    },
  });
  return found;
}

/** Offset of the value at `path`, or of the nearest value around it. */
export function offsetOf(json: string, path: string): number {
  let best = 0;
  let bestLength = -1;
  scan(json, {
    value(pathOf, offset) {
      const here = pathOf();
      if (here.length > bestLength && (path === here || path.startsWith(`${here}/`))) {
        best = offset;
        bestLength = here.length;
      }
      return here === path;
    },
  });
  return best;
}

/** 1-based line and column of an offset. */
export function positionOf(text: string, offset: number): { line: number; column: number } {
  let line = 1;
  let start = 0;
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) {
    line++;
    start = at + 1;
  }
  return { line, column: offset - start + 1 };
}

interface Visitor {
  /** Returns true to stop. */
  key?(path: () => string, offset: number, duplicate: boolean): boolean;
  value?(path: () => string, offset: number): boolean;
}

function scan(json: string, visitor: Visitor): void {
  const frames: Frame[] = [];
  const path = () => pointer(frames.map((frame) => (frame.keys === undefined ? frame.index : frame.key)));
  let expectKey = false;
  let expectValue = true;
  for (let i = 0; i < json.length; i++) {
    const c = json[i]!;
    if (c === ' ' || c === '\n' || c === '\r' || c === '\t') continue;
    const top = frames.at(-1);
    if (c === ',') {
      if (top?.keys === undefined) top!.index++;
      expectKey = top?.keys !== undefined;
      expectValue = !expectKey;
    } else if (c === ':') {
      expectValue = true;
    } else if (c === '}' || c === ']') {
      frames.pop();
      expectKey = false;
      expectValue = false;
    } else if (expectKey) {
      const end = endOfString(json, i);
      const raw = json.slice(i, end + 1);
      const key = raw.includes('\\') ? (JSON.parse(raw) as string) : raw.slice(1, -1);
      top!.key = key;
      if (visitor.key?.(path, i, top!.keys!.has(key)) === true) return;
      top!.keys!.add(key);
      expectKey = false;
      i = end;
    } else if (expectValue) {
      if (visitor.value?.(path, i) === true) return;
      expectValue = false;
      if (c === '{') {
        frames.push({ keys: new Set(), key: '', index: 0 });
        expectKey = true;
      } else if (c === '[') {
        frames.push({ keys: undefined, key: '', index: 0 });
        expectValue = true;
      } else if (c === '"') {
        i = endOfString(json, i);
      }
    }
  }
}

/** Index of the quote that closes the string which opens at `start`. */
function endOfString(json: string, start: number): number {
  for (let i = start + 1; i < json.length; i++) {
    if (json[i] === '\\') i++;
    else if (json[i] === '"') return i;
  }
  return json.length;
}
