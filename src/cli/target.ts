/** Where the REST API is: a unix socket or an http URL. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { Failure } from './failure.ts';

export type Target = { readonly kind: 'unix'; readonly path: string } | { readonly kind: 'http'; readonly url: URL };

/** `unix:/PATH`, `/PATH`, `http://HOST:PORT` or `HOST:PORT`. */
export function parseTarget(text: string): Target {
  if (text.startsWith('unix:')) return { kind: 'unix', path: text.slice(5).replace(/^\/\/(?=\/)/, '') };
  if (text.startsWith('/')) return { kind: 'unix', path: text };
  if (text.startsWith('https:'))
    throw new Failure(2, `--server "${text}": https is not supported yet; http:// or unix:/PATH`);
  const url = URL.parse(text.includes('://') ? text : `http://${text}`);
  if (url?.protocol !== 'http:' || url.hostname === '' || url.pathname !== '/' || url.search !== '') {
    throw new Failure(2, `--server "${text}": expected http://HOST:PORT or unix:/PATH`);
  }
  return { kind: 'http', url };
}

export function targetText(target: Target): string {
  return target.kind === 'unix' ? `unix:${target.path}` : target.url.origin;
}

export const DEFAULT_LISTEN = '127.0.0.1:7460';
export const DEFAULT_RUN_DIR = '/run/postern';

/**
 * What to try, in order. A server named by the user is the only one tried. Else the socket of the run directory when this
 * user may open it (it takes writes), then loopback TCP; not the default port when another run directory was named, for
 * that would be another instance.
 */
export function serverTargets(choice: { server?: string; runDir: string; listen?: string }): Target[] {
  if (choice.server) return [parseTarget(choice.server)];
  const path = join(choice.runDir, 'server.sock');
  const targets: Target[] = isOpenable(path) || choice.runDir !== DEFAULT_RUN_DIR ? [{ kind: 'unix', path }] : [];
  if (choice.listen) targets.push(parseTarget(choice.listen));
  else if (choice.runDir === DEFAULT_RUN_DIR) targets.push(parseTarget(DEFAULT_LISTEN));
  return targets;
}

export function agentTarget(runDir: string): Target {
  return { kind: 'unix', path: join(runDir, 'agent.sock') };
}

function isOpenable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
