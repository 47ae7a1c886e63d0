import * as v from 'valibot';
import { object } from './check.ts';

/** What the server keeps about every object; accepted and ignored in a PUT, so that GET, edit, PUT works. */
export const Meta = object({
  uid: v.string(),
  /** The control plane's revision at which the object last changed. */
  revision: v.number(),
  createdAt: v.string(),
  updatedAt: v.string(),
  /** `uid:0` for a local user. */
  updatedBy: v.string(),
});
export type Meta = v.InferOutput<typeof Meta>;

/** The server's fields of a body: whatever they hold, they mean nothing in a PUT. */
export const SERVER_FIELDS = { meta: v.optional(v.unknown()), status: v.optional(v.unknown()) };
