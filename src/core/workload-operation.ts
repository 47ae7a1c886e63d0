import type { Fields } from './workload-fields.ts';
import { isUser } from './workload-match.ts';

/** How a workload is run and watched over, rather than who it is. */
export interface Operation {
  /** Of the endpoints; `enforce` unless said. */
  readonly mode?: Mode;
  /** How many endpoints each host that the registration is for should have; another number is shown. */
  readonly expect?: { readonly perHost: number };
  /** Users who may start something under this name (`postern run`), besides root. */
  readonly runBy?: readonly string[];
}

export type Mode = (typeof MODES)[number];

/** From the least to the most: `observe` judges nothing, `audit` records what would be dropped. */
export const MODES = ['observe', 'audit', 'enforce'] as const;
const PER_HOST_MAX = 10_000;
const RUN_BY_MAX = 64;

/** Reports what is wrong; what it gives back is right only if nothing was. */
export function checkOperation(fields: Fields, body: Record<string, unknown>): Operation {
  const { mode, expect, runBy, addresses } = body;
  if (mode !== undefined && !MODES.includes(mode as never))
    fields.bad('/mode', `must be one of ${MODES.join(', ')}`, mode, MODES);
  for (const [key, value] of Object.entries({ mode, expect, runBy }))
    if (value !== undefined && addresses !== undefined)
      fields.bad(`/${key}`, 'has no meaning beside addresses: nothing of it runs on a host with an agent', value);
  if (expect !== undefined) checkExpect(fields, expect);
  if (runBy !== undefined) checkUsers(fields, runBy);
  return {
    ...(mode === undefined ? {} : { mode: mode as Mode }),
    ...(expect === undefined ? {} : { expect: expect as NonNullable<Operation['expect']> }),
    ...(runBy === undefined ? {} : { runBy: runBy as readonly string[] }),
  };
}

function checkExpect(fields: Fields, expect: unknown): void {
  if (!fields.object('/expect', expect, ['perHost'], [])) return;
  const { perHost } = expect;
  if (perHost === undefined) fields.bad('/expect/perHost', 'is required: how many endpoints a host should have');
  else if (!Number.isInteger(perHost) || (perHost as number) < 0 || (perHost as number) > PER_HOST_MAX)
    fields.bad('/expect/perHost', `must be an integer from 0 to ${PER_HOST_MAX}`, perHost);
}

function checkUsers(fields: Fields, runBy: unknown): void {
  if (!fields.texts('/runBy', runBy, RUN_BY_MAX)) return;
  for (const [i, user] of runBy.entries())
    if (!isUser(user)) fields.bad(`/runBy/${i}`, 'must be the name or the number of a user (no patterns)', user);
}
