import { type Glob, globsOverlap, toGlob } from './glob.ts';
import { areDisjoint } from './host-selector.ts';
import { type ArgPattern, type Clause, isPlaced, toClause } from './match-clause.ts';
import type { ListenPattern } from './match-listen.ts';
import { containersOverlap, userUnitsOverlap } from './match-place.ts';
import {
  comparePrecedence,
  decidingField,
  type Precedence,
  type PrecedenceField,
  spoofableBy,
  toPrecedence,
} from './match-precedence.ts';
import type { Workload } from './workload.ts';

export interface MatchOverlap {
  /** The other one, `namespace/name`. */
  readonly workload: string;
  /** Whose clause names a process that both match. */
  readonly winner: string;
  readonly by: PrecedenceField;
}

export type Registration = Pick<Workload, 'match' | 'priority' | 'hosts'> & {
  readonly ref: string;
  readonly createdRevision: number;
};

/**
 * Other registrations that may match the same process, told from the registrations alone. Two clauses overlap when both
 * say something about where or what the process is (unit, cgroup, exe, script, listen; user where one says only that),
 * no field of the one excludes that of the other, and the arguments of one follow from those of the other. So of two
 * clauses that name different things (a unit here, an executable there) nothing is told: it would always be a maybe.
 * Nor of two registrations whose `hosts` no host can satisfy at once.
 */
export function findOverlaps(registration: Registration, all: Iterable<Registration>): MatchOverlap[] {
  const own = readingsOf(registration);
  const found: MatchOverlap[] = [];
  for (const other of all) {
    if (other.ref === registration.ref || areDisjoint(registration.hosts, other.hosts)) continue;
    const pair = firstOverlap(own, readingsOf(other));
    if (pair === undefined) continue;
    const [mine, theirs] = pair.map(({ precedence }) => precedence) as [Precedence, Precedence];
    const winner = comparePrecedence(mine, theirs) > 0 ? registration.ref : other.ref;
    found.push({ workload: other.ref, winner, by: decidingField(mine, theirs) });
  }
  return found.sort((a, b) => (a.workload < b.workload ? -1 : 1));
}

interface Reading {
  readonly clause: Clause;
  readonly precedence: Precedence;
}

/** By `match`, an object that is never changed; the priority is part of the same registration. */
const readings = new WeakMap<object, { readonly of: Registration; readonly list: readonly Reading[] }>();

function readingsOf(registration: Registration): readonly Reading[] {
  const { ref, match, priority = 0, createdRevision } = registration;
  const known = readings.get(match);
  if (known?.of.ref === ref && known.of.createdRevision === createdRevision && (known.of.priority ?? 0) === priority)
    return known.list;
  const list = match.map((source, index) => {
    const clause = toClause(source);
    const spoofable = spoofableBy(clause) !== null;
    return {
      clause,
      precedence: toPrecedence(clause, { workload: ref, clause: index, createdRevision, spoofable, priority }),
    };
  });
  readings.set(match, { of: registration, list });
  return list;
}

function firstOverlap(own: readonly Reading[], others: readonly Reading[]): [Reading, Reading] | undefined {
  for (const mine of own)
    for (const theirs of others) if (clausesOverlap(mine.clause, theirs.clause)) return [mine, theirs];
  return undefined;
}

function clausesOverlap(a: Clause, b: Clause): boolean {
  const answers = [
    both(a.exe, b.exe, globsOverlap),
    both(a.script, b.script, globsOverlap),
    both(a.unit, b.unit, globsOverlap),
    both(a.cgroup, b.cgroup, cgroupsOverlap),
    both(a.userUnit, b.userUnit, userUnitsOverlap),
    both(a.container, b.container, containersOverlap),
    both(nonEmpty(a.listen), nonEmpty(b.listen), listenOverlap),
  ];
  const user = both(a.user, b.user, (x, y) => x === y || isNumber(x) !== isNumber(y));
  if (user === false || answers.includes(false)) return false;
  if (!answers.includes(true) && !(user === true && (onlyUser(a) || onlyUser(b)))) return false;
  return (implies(a.args, b.args) && implies(a.env, b.env)) || (implies(b.args, a.args) && implies(b.env, a.env));
}

/** Undefined = one of them says nothing about it. */
function both<T>(a: T | undefined, b: T | undefined, overlap: (a: T, b: T) => boolean): boolean | undefined {
  return a === undefined || b === undefined ? undefined : overlap(a, b);
}

/** A cgroup pattern also means all that is below. */
function cgroupsOverlap(a: Glob, b: Glob): boolean {
  return globsOverlap(a, b) || globsOverlap(below(a), b) || globsOverlap(a, below(b));
}

function below(glob: Glob): Glob {
  return toGlob(`${glob.source}/**`);
}

function listenOverlap(a: readonly ListenPattern[], b: readonly ListenPattern[]): boolean {
  return a.some((x) =>
    b.some(
      (y) =>
        x.protocol === y.protocol &&
        x.from <= y.to &&
        y.from <= x.to &&
        (x.address === undefined || y.address === undefined || x.address === y.address),
    ),
  );
}

/** Does every process with the elements `strong` have those of `weak`? */
function implies(strong: readonly ArgPattern[], weak: readonly ArgPattern[]): boolean {
  return weak.every((w) => strong.some((s) => (w.prefix ? s.text.startsWith(w.text) : !s.prefix && s.text === w.text)));
}

function onlyUser(clause: Clause): boolean {
  return (
    [clause.exe, clause.script].every((glob) => glob === undefined) && !isPlaced(clause) && clause.listen.length === 0
  );
}

function nonEmpty<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length === 0 ? undefined : list;
}

function isNumber(user: string): boolean {
  return /^\d+$/.test(user);
}
