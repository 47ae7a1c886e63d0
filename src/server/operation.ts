/**
 * One operation of the REST API: what is served, what OpenAPI says of it, and what /docs shows, in one place.
 * Routes are lists of these; app.ts mounts them, openapi.ts describes them.
 */
import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';
import type * as v from 'valibot';

/** `agent`: only for an agent, which is root (or, in development, the server's own user). */
export type Access = 'read' | 'write' | 'agent';

export type Schema = v.BaseSchema<unknown, unknown, v.BaseIssue<unknown>>;

export interface Env {
  Bindings: HttpBindings;
  Variables: { actor: string; requestId: string };
}
export type Request = Context<Env>;

export interface Operation {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  /** `/v1/workloads/:namespace/:name`; an action on an object is `…/:name:rollback` (then the parameter holds both). */
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly access: Access;
  /** Query parameters by name; any other is refused. */
  readonly query?: Readonly<Record<string, Parameter>>;
  readonly body?: { readonly types: readonly string[]; readonly schema?: Schema; readonly example?: unknown };
  readonly answers: Readonly<
    Record<number, { readonly schema?: Schema; readonly description: string; readonly type?: string }>
  >;
  /** A line for /docs that can be pasted after `curl `. */
  readonly curl?: string;
  readonly run: (c: Request) => Response | Promise<Response>;
}

export interface Parameter {
  readonly description: string;
  readonly example?: string;
}
