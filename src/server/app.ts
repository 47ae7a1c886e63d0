/** The HTTP application: request → who is it → which operation → answer, and every failure as a problem. */
import { randomBytes } from 'node:crypto';
import { Hono } from 'hono';
import { PROBLEMS, type Problem } from '../api/problem.ts';
import { nearest } from '../core/nearest.ts';
import { type AccessOptions, checkAccess } from './access.ts';
import { UnavailableError } from './database.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Env, Operation, Request } from './operation.ts';
import { ProblemError } from './problem-error.ts';
import { checkQuery } from './query.ts';
import { EXAMPLE_ORIGIN, wayHere } from './way-here.ts';

export interface AppOptions {
  readonly operations: readonly Operation[];
  readonly access: AccessOptions;
  readonly metrics: Metrics;
  readonly log: Log;
}

export function createApp({ operations, access, metrics, log }: AppOptions): Hono<Env> {
  const app = new Hono<Env>();
  app.use(async (c, next) => {
    const started = performance.now();
    c.set('requestId', randomBytes(8).toString('hex'));
    await next();
    // A stream has written to the socket itself, and ends when it ends.
    if (c.env.outgoing.headersSent) return;
    c.res.headers.set('x-request-id', c.get('requestId'));
    metrics.request(c.req.method, c.res.status, performance.now() - started);
  });
  for (const operation of operations) {
    app.on(operation.method, toHonoPath(operation.path), async (c) => {
      c.set('actor', await checkAccess(c.env.incoming, operation.access, access));
      checkQuery(c, operation);
      return operation.run(c);
    });
  }
  app.notFound(async (c) => {
    // Also a wrong path tells nothing to those who may not be here.
    await checkAccess(c.env.incoming, 'read', access);
    return toResponse(c, wrongPath(c, operations), access.socketPath);
  });
  app.onError((error, c) => toResponse(c, asProblem(error, c, log), access.socketPath));
  return app;
}

function asProblem(error: unknown, c: Request, log: Log): ProblemError {
  if (error instanceof ProblemError) return error;
  if (error instanceof UnavailableError) {
    return new ProblemError('unavailable', `${error.message}; nothing was changed, policy in the kernel stays`, {
      headers: { 'retry-after': '1' },
    });
  }
  const what = `${c.req.method} ${c.req.path} (request ${c.get('requestId')})`;
  log('error', `${what} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return new ProblemError('internal', `The server failed; its log names request ${c.get('requestId')}`);
}

function toResponse(c: Request, { code, message, details }: ProblemError, socketPath: string): Response {
  const [status, title] = PROBLEMS[code];
  const problem: Problem = {
    type: `/docs#problem-${code}`,
    title,
    status,
    code,
    detail: message,
    requestId: c.get('requestId'),
    ...(details.errors !== undefined && { errors: details.errors.map((error) => ({ ...error })) as Problem['errors'] }),
    ...(details.hint !== undefined && {
      hint: details.hint.replace(EXAMPLE_ORIGIN, () => wayHere(c.env.incoming, socketPath)),
    }),
  };
  return new Response(`${JSON.stringify(problem)}\n`, {
    status,
    headers: { 'content-type': 'application/problem+json', ...details.headers },
  });
}

/** 405 with what the path takes, or 404 with the nearest path. */
function wrongPath(c: Request, operations: readonly Operation[]): ProblemError {
  const { method, path } = c.req;
  const here = operations.filter((operation) => matches(operation.path, path));
  if (here.length > 0) {
    const allowed = [...new Set(here.map((operation) => operation.method))];
    return new ProblemError('method-not-allowed', `${path} does not take ${method}, but ${allowed.join(', ')}`, {
      errors: [{ path: '', message: 'method', value: method, allowed }],
      headers: { allow: allowed.join(', ') },
    });
  }
  const near = nearest(path, [...new Set(operations.map((operation) => fill(operation.path, path)))]) ?? '/docs';
  return new ProblemError('no-such-path', `There is no ${path}`, { hint: `curl ${EXAMPLE_ORIGIN}${near}` });
}

/** A pattern with the names that `path` has in its places. */
function fill(pattern: string, path: string): string {
  const have = path.split('/');
  return pattern
    .split('/')
    .map((part, i) => (part.startsWith(':') ? (have[i] ?? part.slice(1)) : part))
    .join('/');
}

function matches(pattern: string, path: string): boolean {
  const want = pattern.split('/');
  const have = path.split('/');
  return want.length === have.length && want.every((part, i) => matchesPart(part, have[i]!));
}

/** `:name` is any part without a colon of its own, `:name:rollback` one that ends so. */
function matchesPart(want: string, have: string): boolean {
  if (!want.startsWith(':')) return want === have;
  const action = /^:\w+(:\w+)$/.exec(want)?.[1];
  return action === undefined ? !have.includes(':') : have.endsWith(action);
}

/** An action on an object, `:name:rollback`: Hono takes a colon inside of a part for text only in a pattern. */
function toHonoPath(path: string): string {
  return path.replace(/:(\w+):(\w+)$/, ':$1{[^/:]+:$2}');
}
