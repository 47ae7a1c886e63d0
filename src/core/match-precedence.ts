import { type Glob, globLiteral, globLiteralLength, globsOverlap, toGlob } from './glob.ts';
import type { Clause } from './match-clause.ts';

/**
 * Which clause names a process that several clauses match: a total order, so that the answer never depends on the order
 * in which workloads were registered, processes started or maps were filled. Fields, most significant first:
 *  1 spoofable  a claim that not any local user can forge, before one that he can
 *  2 priority   the workload's
 *  3 args       number of patterns of args and env; then an argsRegex
 *  4 exe        exe or script: exact 2, glob 1, the larger of both; then both named before one
 *  5 cgroup     container, unit or cgroup: exact 2, glob 1; then depth (see `depthOf`)
 *  6 user       named 1
 *  7 listen     named 1
 *  8 literal    characters spelled out in all patterns
 *  9 created    the older registration keeps the name; then namespace/name, then the clause's place in the list
 */
export const PRECEDENCE_FIELDS = [
  'spoofable',
  'priority',
  'args',
  'exe',
  'cgroup',
  'user',
  'listen',
  'literal',
  'created',
] as const;

export type PrecedenceField = (typeof PRECEDENCE_FIELDS)[number];

export interface Precedence {
  /** Larger wins, first difference decides. Some fields have two places. */
  readonly values: readonly (readonly [PrecedenceField, number])[];
  readonly workload: string;
  readonly clause: number;
}

export function toPrecedence(
  clause: Clause,
  origin: {
    readonly workload: string;
    readonly clause: number;
    readonly createdRevision: number;
    readonly spoofable: boolean;
    readonly priority: number;
  },
): Precedence {
  const placed = [clause.unit, clause.cgroup, clause.userUnit?.unit, clause.container?.name].filter(isGlob);
  const isContained = clause.container !== undefined;
  return {
    workload: origin.workload,
    clause: origin.clause,
    values: [
      ['spoofable', origin.spoofable ? 0 : 1],
      ['priority', origin.priority],
      ['args', clause.args.length + clause.env.length],
      ['args', clause.argsRegex === undefined ? 0 : 1],
      ['exe', Math.max(exactness(clause.exe), exactness(clause.script))],
      ['exe', clause.exe !== undefined && clause.script !== undefined ? 1 : 0],
      ['cgroup', Math.max(isContained ? 1 : 0, ...placed.map(exactness))],
      ['cgroup', depthOf(clause)],
      ['user', clause.user === undefined ? 0 : 1],
      ['listen', clause.listen.length > 0 ? 1 : 0],
      ['literal', literalLength(clause)],
      ['created', -origin.createdRevision],
    ],
  };
}

/** > 0 when `a` wins over `b`; 0 only for the same clause of the same workload. */
export function comparePrecedence(a: Precedence, b: Precedence): number {
  for (const [i, [, value]] of a.values.entries()) {
    const other = b.values[i]![1];
    if (value !== other) return value - other;
  }
  if (a.workload !== b.workload) return a.workload < b.workload ? 1 : -1;
  return b.clause - a.clause;
}

/** The field that decides between two clauses. `created` means that nothing but age does: a conflict. */
export function decidingField(a: Precedence, b: Precedence): PrecedenceField {
  const at = a.values.findIndex(([, value], i) => value !== b.values[i]![1]);
  return a.values[at]?.[0] ?? 'created';
}

/**
 * Why a process of some local user could claim this clause; null = it cannot.
 * @param untrusted executables and scripts that others than root can write, or whose folder they can
 */
export function spoofableBy(clause: Clause, untrusted: ReadonlySet<string> = new Set()): string | null {
  for (const glob of [clause.exe, clause.script]) {
    const file = glob && globLiteral(glob);
    if (file !== undefined && untrusted.has(file)) return `whoever can write ${file}`;
  }
  const { unit, user, userUnit, container } = clause;
  if ([unit, user, userUnit, container].some((field) => field !== undefined)) return null;
  if (clause.cgroup === undefined) return 'any local user';
  return reachesUserCgroups(clause.cgroup) ? 'any local user, below the own user@.service' : null;
}

/** With the uid spelled out it is that user's own claim, as with `user`. */
function reachesUserCgroups(glob: Glob): boolean {
  if (/^user\.slice\/user-\d+\.slice(\/|$)/.test(glob.source)) return false;
  return globsOverlap(glob, DELEGATED);
}

const DELEGATED = toGlob('user.slice/user-*.slice/user@*.service/**');

function exactness(glob: Glob | undefined): number {
  if (glob === undefined) return 0;
  return globLiteral(glob) === undefined ? 1 : 2;
}

/**
 * Slices only group, so a unit is deeper than any slice whatever the number of slices above it: depth counts the
 * components that are no slices first, then the slices. `erp.slice/erp-db.slice` 2, `x.service` 1000,
 * `system.slice/x.service` 1001, `system.slice/x.service/worker` 2001.
 */
function depthOf(clause: Clause): number {
  const { unit, cgroup, userUnit, container } = clause;
  const ofUser = userUnit === undefined ? 0 : 2002;
  return Math.max(container === undefined ? 0 : 1000, ofUser, ...[unit, cgroup].filter(isGlob).map(depth));
}

function isGlob(glob: Glob | undefined): glob is Glob {
  return glob !== undefined;
}

function depth(glob: Glob): number {
  const parts = glob.source.split('/').filter((part) => part !== '');
  const slices = parts.filter((part) => part.endsWith('.slice')).length;
  return (parts.length - slices) * 1000 + slices;
}

function literalLength(clause: Clause): number {
  const { unit, cgroup, userUnit, container, exe, script } = clause;
  const ofContainer = [container?.name, container?.image, ...(container?.labels ?? []).map(([, value]) => value)];
  const globs = [unit, cgroup, userUnit?.unit, ...ofContainer, exe, script].filter(isGlob);
  const listen = clause.listen.filter((pattern) => pattern.address !== undefined).length;
  return (
    globs.reduce((sum, glob) => sum + globLiteralLength(glob), 0) +
    [...clause.args, ...clause.env].reduce((sum, arg) => sum + arg.text.length, 0) +
    listen
  );
}
