/** Where a text stops being JSON: V8 names the token, and the place only sometimes. */

const TOKEN =
  /[ \t\r\n]*([{}[\],:]|"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/y;

type State = 'value' | 'value or ]' | 'key' | 'key or }' | ':' | 'next';

/** Offset of the first character that cannot stand where it does; the length of the text when more should follow. */
export function jsonErrorOffset(text: string): number {
  const open: ('{' | '[')[] = [];
  let state: State = 'value';
  let end = 0;
  for (;;) {
    TOKEN.lastIndex = end;
    const token = TOKEN.exec(text)?.[1];
    const begin =
      token === undefined ? end + /^[ \t\r\n]*/.exec(text.slice(end))![0].length : TOKEN.lastIndex - token.length;
    const next: State | undefined = token === undefined ? undefined : step(token, state, open);
    if (next === undefined || token === undefined) return begin;
    state = next;
    end = begin + token.length;
  }
}

/** The state after a token; undefined where it cannot stand. Changes `open`. */
function step(token: string, state: State, open: ('{' | '[')[]): State | undefined {
  const inside = open.at(-1);
  const isKey = state === 'key' || state === 'key or }';
  switch (token) {
    case '{':
    case '[':
      if (!state.startsWith('value')) return undefined;
      open.push(token);
      return token === '{' ? 'key or }' : 'value or ]';
    case '}':
    case ']':
      if (inside !== (token === '}' ? '{' : '[')) return undefined;
      if (state !== 'next' && !state.endsWith(token)) return undefined;
      open.pop();
      return 'next';
    case ',':
      if (state !== 'next' || inside === undefined) return undefined;
      return inside === '{' ? 'key' : 'value';
    case ':':
      return state === ':' ? 'value' : undefined;
    default:
      if (isKey) return token.startsWith('"') ? ':' : undefined;
      return state.startsWith('value') ? 'next' : undefined;
  }
}
