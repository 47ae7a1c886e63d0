/** A request as the curl command line that does the same, quoted for a POSIX shell. */
import type { Request, Target } from './client.ts';

export function curl(target: Target, request: Request): string {
  const words = ['curl'];
  if (request.follow) words.push('-N');
  if (request.method !== 'GET') words.push('-X', request.method);
  for (const [name, value] of Object.entries(request.headers ?? {})) words.push('-H', quote(`${name}: ${value}`));
  if (request.body !== undefined) {
    if (request.bodyFile) words.push('--data-binary', quote(`@${request.bodyFile}`));
    else words.push('-d', quote(request.body));
  }
  if (target.kind === 'unix') words.push('--unix-socket', quote(target.path));
  const origin = target.kind === 'unix' ? 'http://localhost' : target.url.origin;
  words.push(quote(origin + toPath(request)));
  return words.join(' ');
}

/** Path with query string. */
export function toPath(request: Pick<Request, 'path' | 'query'>): string {
  const query = (request.query ?? [])
    .map(([name, value]) => `${encodeURIComponent(name)}=${readable(value)}`)
    .join('&');
  return query === '' ? request.path : `${request.path}${request.path.includes('?') ? '&' : '?'}${query}`;
}

/** Percent-encoded, except what a query may carry and a person wants to read. */
function readable(value: string): string {
  return encodeURIComponent(value).replace(/%2F/g, '/').replace(/%3A/g, ':').replace(/%2C/g, ',').replace(/%3D/g, '=');
}

export function quote(word: string): string {
  return /^[\w@%+:,./-][\w@%+:,./=-]*$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
