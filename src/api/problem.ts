/** RFC 9457 `application/problem+json`. */
import * as v from 'valibot';
import { object } from './check.ts';

export const FieldProblem = object({
  /** JSON pointer into what was sent. */
  path: v.string(),
  message: v.string(),
  value: v.optional(v.unknown()),
  allowed: v.optional(v.array(v.string())),
  line: v.optional(v.number()),
  column: v.optional(v.number()),
  code: v.optional(v.string()),
  /** Which of several documents it is in: `CiliumNetworkPolicy shop/backend`. */
  document: v.optional(v.string()),
});

export const Problem = object({
  /** A reference into `/docs`. */
  type: v.string(),
  title: v.string(),
  status: v.number(),
  code: v.string(),
  detail: v.string(),
  requestId: v.string(),
  errors: v.optional(v.array(FieldProblem)),
  /** A command that would help. */
  hint: v.optional(v.string()),
});
export type Problem = v.InferOutput<typeof Problem>;

/** code → [status, title]. A code is never reused for another meaning. */
export const PROBLEMS = {
  syntax: [400, 'The text is not valid JSON or YAML'],
  invalid: [400, 'A field is not valid'],
  'unknown-parameter': [400, 'A query parameter is not known'],
  'read-only': [403, 'This connection may only read'],
  'forbidden-host': [403, 'The Host or Origin is not this machine'],
  'workload-connection': [403, 'A registered workload may not talk to the control plane'],
  'not-agent': [403, 'Only an agent may do this'],
  'not-found': [404, 'There is no such object'],
  'no-such-path': [404, 'There is no such path'],
  'method-not-allowed': [405, 'The path does not take this method'],
  conflict: [409, 'Another object is in the way'],
  gone: [410, 'The revision is too old'],
  stale: [412, 'The object has changed meanwhile'],
  'too-large': [413, 'The body is too large'],
  'media-type': [415, 'The content type is not understood'],
  'not-supported': [422, 'Understood, but not supported yet'],
  'does-not-fit': [422, 'The policy would not fit into the kernel'],
  precondition: [428, 'If-Match is required'],
  internal: [500, 'The server failed'],
  'caller-unknown': [503, 'The agent does not say who is connected'],
  unavailable: [503, 'The database is not available'],
} as const satisfies Record<string, readonly [number, string]>;
export type ProblemCode = keyof typeof PROBLEMS;
