import { type Affix, type Glob, globLiteral, toGlob } from './glob.ts';
import { type ArgPattern, type Clause, kernelCgroups, lateField, placeAffix, toClause } from './match-clause.ts';
import { compareSets, labelsText, literalGlob, type NamedSet, withSet } from './match-derived.ts';
import type { ListenPattern } from './match-listen.ts';
import { type Container, containerCgroup, containerMatches, userUnitCgroup } from './match-place.ts';
import { comparePrecedence, type Precedence, spoofableBy, toPrecedence } from './match-precedence.ts';
import { type SocketServices, type SocketUnits, socketUnitsOf } from './match-sockets.ts';
import type { MatchClause, Workload } from './workload.ts';

/**
 * All registrations of a host as one ordered list of clauses, split by who decides: the kernel before the first packet
 * (`clauses`), or user space afterwards (`late`).
 *
 * 1. `rank` is the place in the order of match-precedence.ts over ALL clauses, late and waiting ones too: larger wins,
 *    and ranks of both lists compare.
 * 2. The program depends on the set of registrations and facts, never on the order in which they are given.
 * 3. A clause may be in both lists: a `listen` alone names sockets in the kernel and processes late; a glob of `exe`
 *    names the files that exist in the kernel and new ones late.
 * 4. `cgroups` are AND over the chain: each must hold for the cgroup or one above it. A clause of kind `cgroup` is
 *    gained by the topmost cgroup at which all hold, and everything below has it unless a larger rank is gained there:
 *    label(cgroup) = max rank of (label(parent), clauses gained here).
 * 5. `on: 'path'`: the whole path below the cgroup2 root, without leading slash. `on: 'unit'`: the last component,
 *    where no component above it ends in `.service` or `.scope` (a user's own manager, a container's systemd).
 */
export interface MatchProgram {
  /** Decided in the kernel; rank ascending. */
  readonly clauses: readonly ProgramClause[];
  /** What user space must decide, or watch for; rank ascending. */
  readonly late: readonly ProgramClause[];
  /** What cannot match yet, and why. */
  readonly waiting: readonly Waiting[];
}

export interface ProgramClause {
  /** `namespace/name` */
  readonly workload: string;
  /** Place in the workload's `match`. */
  readonly clause: number;
  readonly identity: number;
  readonly rank: number;
  readonly spoofable: string | null;
  readonly grade: 'firstPacket' | 'late';
  /** The hook that decides: cgroup_mkdir, exec, bind. */
  readonly kind: 'cgroup' | 'exec' | 'listen';
  /** Resolved paths, sorted; absent = any executable. */
  readonly exes?: readonly string[];
  /** Effective uid; absent = any. */
  readonly uid?: number;
  readonly args: readonly ArgPattern[];
  /** Resolved paths, sorted; absent = any program, script or not. */
  readonly scripts?: readonly string[];
  readonly env: readonly ArgPattern[];
  /** `none`: the process that met the clause has the label, its children have not. */
  readonly inherit: 'subtree' | 'none';
  /** Empty in `late` when the patterns need more than one star: then only `source` tells. */
  readonly cgroups: readonly (Affix & { readonly on: 'path' | 'unit' })[];
  /** Of a unit pattern: socket units that by `Service=` start what it names, and those that by it do not. */
  readonly sockets?: SocketUnits;
  /** Cgroups, one of which must hold: what the host made of `systemdUserUnit` or `container`; globs, sorted. */
  readonly places?: readonly string[];
  readonly listen?: readonly ListenPattern[];
  readonly source: MatchClause;
  /** Of a set of `labelsFrom`: the clause as it is registered, and the labels that the set adds. */
  readonly registered?: MatchClause;
  readonly derived?: string;
  readonly precedence: Precedence;
}

export interface Waiting {
  readonly workload: string;
  readonly clause: number;
  readonly reason: string;
}

export type RegisteredWorkload = Workload & {
  readonly identity: number;
  readonly createdRevision: number;
  /** Of `labelsFrom`: what processes of it are known to have here. */
  readonly sets?: readonly NamedSet[];
};

/** What the host knows and the documents do not. */
export interface MatchFacts {
  readonly uids: ReadonlyMap<string, number>;
  /** `exe` or `script` as written → resolved paths of the files that it names now. A literal path without entry is taken as it is. */
  readonly paths: ReadonlyMap<string, readonly string[]>;
  /** Executables and scripts that others than root can write, or whose folder they can: such a claim is spoofable. */
  readonly untrusted?: ReadonlySet<string>;
  readonly socketServices?: SocketServices;
  /** Running now; absent = no runtime answers. */
  readonly containers?: readonly Container[];
  /** Of the system's manager, if it is not the root. */
  readonly cgroupRoot?: string;
}

export function compileMatch(workloads: readonly RegisteredWorkload[], facts: MatchFacts): MatchProgram {
  const ranked = workloads
    .flatMap((workload) => workload.match.flatMap((source, index) => readings(workload, source, index, facts)))
    .sort((a, b) => comparePrecedence(a.precedence, b.precedence) || compareSets(a.set, b.set));
  const clauses: ProgramClause[] = [];
  const late: ProgramClause[] = [];
  const waiting: Waiting[] = [];
  const crowd = new Map<string, Set<string>>();
  for (const [index, entry] of ranked.entries()) {
    const placed = place(entry, index + 1, facts, crowd);
    if (placed.kernel) clauses.push(placed.kernel);
    if (placed.late) late.push(placed.late);
    if (placed.waiting && entry.set === undefined)
      waiting.push({ workload: entry.workload, clause: entry.index, reason: placed.waiting });
  }
  return { clauses, late, waiting: waiting.sort(byName) };
}

/** Every clause once, larger rank first, as the late reading where there is one (it knows all that the clause means). */
export function allClauses(program: MatchProgram): ProgramClause[] {
  const byRank = new Map<number, ProgramClause>();
  for (const clause of [...program.clauses, ...program.late]) byRank.set(clause.rank, clause);
  return [...byRank.values()].sort((a, b) => b.rank - a.rank);
}

/** Must the environment of processes be read to decide? */
export function needsEnv(program: MatchProgram): boolean {
  return program.clauses.some(({ env }) => env.length > 0) || program.late.some(({ env }) => env.length > 0);
}

/**
 * The same claim (workload and what it says, wherever it stands in the list) in another program; of a set of `labelsFrom` that
 * is gone, the clause that it was made of. Undefined = it is gone.
 */
export function clauseNow(program: MatchProgram, clause: ProgramClause): ProgramClause | undefined {
  const source = JSON.stringify(clause.registered ?? clause.source);
  const same = [...program.clauses, ...program.late].filter(
    (other) => other.workload === clause.workload && JSON.stringify(other.registered ?? other.source) === source,
  );
  return same.find(({ derived }) => derived === clause.derived) ?? same.find(({ derived }) => derived === undefined);
}

const NO_SOCKETS: SocketServices = new Map();

interface Entry {
  readonly workload: string;
  readonly inherit: 'subtree' | 'none';
  readonly identity: number;
  readonly index: number;
  readonly source: MatchClause;
  readonly clause: Clause;
  readonly spoofable: string | null;
  readonly precedence: Precedence;
  readonly registered?: MatchClause;
  readonly set?: NamedSet;
}

/** The clause as it is registered, and one for each set of values that its processes have. */
function readings(workload: RegisteredWorkload, source: MatchClause, index: number, facts: MatchFacts): Entry[] {
  const entry = read(workload, source, index, facts);
  const sets = (workload.sets ?? []).filter(({ clause }) => clause === index);
  return [
    entry,
    ...sets.map((set): Entry => {
      const own = withSet(source, set);
      return { ...entry, identity: set.identity, source: own, clause: toClause(own), registered: source, set };
    }),
  ];
}

function read(workload: RegisteredWorkload, source: MatchClause, index: number, facts: MatchFacts): Entry {
  const clause = toClause(source);
  const ref = `${workload.namespace}/${workload.name}`;
  const spoofable = spoofableBy(clause, facts.untrusted);
  const precedence = toPrecedence(clause, {
    workload: ref,
    clause: index,
    createdRevision: workload.createdRevision,
    spoofable: spoofable !== null,
    priority: workload.priority ?? 0,
  });
  const inherit = workload.inherit ?? 'subtree';
  return { workload: ref, inherit, identity: workload.identity, index, source, clause, spoofable, precedence };
}

function place(
  entry: Entry,
  rank: number,
  facts: MatchFacts,
  crowd: Map<string, Set<string>>,
): { kernel?: ProgramClause; late?: ProgramClause; waiting?: string } {
  const { clause, source } = entry;
  const uid = clause.user === undefined ? undefined : toUid(clause.user, facts);
  if (clause.user !== undefined && uid === undefined)
    return { waiting: `user "${clause.user}" does not exist on this host` };
  const own = entry.set?.cgroups?.map((path) => toGlob(literalGlob(path)));
  const where = own === undefined ? placesOf(clause, facts) : { places: own };
  if (where.waiting !== undefined) return { waiting: where.waiting };
  const { places } = where;
  // Where one of its cgroups holds, so do the patterns of the clause.
  const patterns = own === undefined ? kernelCgroups(clause) : [];
  const cgroups = places?.every((glob) => fitsKernel(glob, crowd)) === false ? undefined : patterns;
  const hasProcess = source.process !== undefined;
  const kind = hasProcess
    ? 'exec'
    : cgroups?.length === 0 && places === undefined && clause.listen.length > 0
      ? 'listen'
      : 'cgroup';
  const exe = resolveFile(clause.exe, facts);
  const script = resolveFile(clause.script, facts);
  const sockets = socketUnitsOf(clause.unit, facts.socketServices ?? NO_SOCKETS);
  const base: ProgramClause = {
    workload: entry.workload,
    clause: entry.index,
    identity: entry.identity,
    rank,
    spoofable: entry.spoofable,
    grade: clause.container === undefined ? 'firstPacket' : 'late',
    kind,
    ...(exe === undefined ? {} : { exes: exe.paths }),
    ...(uid === undefined ? {} : { uid }),
    args: clause.args,
    ...(script === undefined ? {} : { scripts: script.paths }),
    env: clause.env,
    inherit: entry.inherit,
    cgroups: cgroups ?? [],
    ...(sockets === undefined ? {} : { sockets }),
    ...(places === undefined ? {} : { places: places.map((glob) => glob.source) }),
    ...(clause.listen.length === 0 ? {} : { listen: clause.listen }),
    source,
    ...(entry.set === undefined ? {} : { registered: entry.registered!, derived: labelsText(entry.set) }),
    precedence: entry.precedence,
  };
  const late: ProgramClause = { ...base, grade: 'late' };
  if (cgroups === undefined || (clause.listen.length > 0 && kind !== 'listen')) return { late };
  if (kind === 'listen') return { kernel: base, late };
  const globs = [exe, script].filter((file) => file?.isGlob);
  const missing = globs.find((file) => file!.paths.length === 0);
  if (missing !== undefined) return { late, waiting: `no file matches ${missing.source}` };
  if (lateField(clause) !== undefined) return { late };
  return globs.length === 0 ? { kernel: base } : { kernel: base, late };
}

/** Undefined `places` = the clause does not say. */
function placesOf(
  { userUnit, container }: Clause,
  { uids, containers, cgroupRoot }: MatchFacts,
): { places?: readonly Glob[]; waiting?: string } {
  if (userUnit !== undefined) {
    const uid = toUid(userUnit.user, { uids });
    if (uid === undefined) return { waiting: `user "${userUnit.user}" does not exist on this host` };
    return { places: [userUnitCgroup(uid, userUnit, cgroupRoot)] };
  }
  if (container === undefined) return {};
  if (containers === undefined) return { waiting: 'no container runtime answers on this host' };
  const places = containers.filter((one) => containerMatches(container, one)).map(containerCgroup);
  if (places.length === 0) return { waiting: 'no running container matches' };
  return { places: places.sort((a, b) => (a.source < b.source ? -1 : 1)) };
}

/** The kernel tells at most 8 patterns of one beginning apart: of the units of one user, the rest is late. */
function fitsKernel(place: Glob, crowd: Map<string, Set<string>>): boolean {
  const affix = placeAffix(place);
  if (affix === undefined || affix.star === 'none') return affix !== undefined;
  const like = crowd.get(affix.prefix) ?? new Set();
  if (!like.has(affix.suffix) && like.size >= CROWD_MAX) return false;
  crowd.set(affix.prefix, like.add(affix.suffix));
  return true;
}

const CROWD_MAX = 6;

function resolveFile(
  glob: Glob | undefined,
  facts: MatchFacts,
): { source: string; paths: readonly string[]; isGlob: boolean } | undefined {
  if (glob === undefined) return undefined;
  const literal = globLiteral(glob);
  const paths = facts.paths.get(glob.source) ?? (literal === undefined ? [] : [literal]);
  return { source: glob.source, paths: [...new Set(paths)].sort(), isGlob: literal === undefined };
}

function toUid(user: string, facts: Pick<MatchFacts, 'uids'>): number | undefined {
  return facts.uids.get(user) ?? (/^\d+$/.test(user) ? Number(user) : undefined);
}

function byName(a: Waiting, b: Waiting): number {
  if (a.workload !== b.workload) return a.workload < b.workload ? -1 : 1;
  return a.clause - b.clause;
}
