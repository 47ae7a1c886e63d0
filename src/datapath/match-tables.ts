import { parseAddress } from '../core/cidr.ts';
import type { Gateway } from '../core/gateways.ts';
import { toGlob } from '../core/glob.ts';
import { placeAffix } from '../core/match-clause.ts';
import type { MatchProgram, ProgramClause } from '../core/match-program.ts';
import { elsewhereAffixes, socketAffixes } from '../core/match-sockets.ts';
import { CgroupPatterns, nested } from './cgroup-patterns.ts';
import { EXE_PATH, EXE_SCRIPT, writeInterpreters } from './interpreter-tables.ts';
import type { DatapathMaps } from './maps.ts';
import { decidedParts, lateParts, type ProgramPart } from './match-records.ts';
import { hashPath } from './path-hash.ts';
import { type Clause, ExeFlag, ProcFlag } from './postern.skel.ts';

/** CLAUSES_MAX, CGROUP_PATTERN_MAX and PATTERN_MAX of bpf/abi.h. */
export const CLAUSES_MAX = 8192;
const CLAUSE_ARGS = 16;
const CGROUP_PATTERN_MAX = 4096;
const PATTERN_MAX = 256;
/** Bits of the kernel's scratch memory for argument patterns; 0 is none. */
const ARG_PATTERNS_MAX = 128 * 64 - 1;
const CLAUSE_EXE = 1;
const CLAUSE_UID = 2;
const CLAUSE_SPOOFABLE = 4;
const CLAUSE_NO_INHERIT = 8;
const CLAUSE_SCRIPT = 16;
const CLAUSE_LATE = 32;
const CLAUSE_NAME = 64;
/** ENV_SLOT: patterns of the environment live beside those of arguments. */
export const ENV_SLOT = 2;
const PATTERN_EXACT = 1;
const PATTERN_ELSEWHERE = 2;
const PREFIX_KIND = 1;
const ENV_KIND = 2;

export interface SpecialExecutables {
  /** Executables and scripts. */
  readonly gateways: Iterable<Gateway>;
  readonly failsafe: readonly string[];
  readonly executors?: readonly string[];
}

/** One half of the match tables, in memory: clauses by their most selective part, each chain in falling rank. */
export class MatchTables {
  readonly records: ProgramClause[] = [];
  readonly #hashKey: bigint;
  readonly #slot: number;
  readonly #argUse: ReadonlyMap<string, number>;
  readonly #clauses: Clause[] = [];
  readonly #args = new Map<string, ArgPattern>();
  readonly cgroups = new CgroupPatterns();
  readonly #cgroupHeads = new Map<number, number>();
  readonly #exes = new Map<bigint, Head>();
  readonly #scripts = new Map<bigint, Head>();
  readonly #listen = new Map<
    string,
    { addr: Uint8Array; port: number; protocol: number; clause: ProgramClause; number: number }
  >();
  readonly #any: Head = { head: 0, flags: 0 };
  /** Late records that nothing but an unsure script indexes. */
  readonly #unsure: Head = { head: 0, flags: 0 };

  constructor(hashKey: bigint, slot: number, { clauses, late }: Pick<MatchProgram, 'clauses' | 'late'>) {
    this.#hashKey = hashKey;
    this.#slot = slot;
    this.#argUse = argUse([...clauses, ...late]);
    const all = [
      ...clauses.map((clause) => ({ clause, isLate: false })),
      ...late.map((clause) => ({ clause, isLate: true })),
    ];
    for (const { sockets } of clauses)
      for (const affix of elsewhereAffixes(sockets)) this.cgroups.markElsewhere({ on: 'unit', ...affix });
    for (const { clause, isLate } of all.sort((a, b) => a.clause.rank - b.clause.rank))
      if (isLate) this.#addExec(clause, lateParts(clause), [clause.cgroups.map((pattern) => this.cgroups.id(pattern))]);
      else this.#add(clause);
  }

  get anyHead(): number {
    return this.#any.head;
  }

  get unsureHead(): number {
    return this.#unsure.head;
  }

  /** Scripts that are looked for. */
  get scripts(): number {
    return this.#scripts.size + (this.#clauses.some(({ script_state }) => script_state > 0) ? 1 : 0);
  }

  get argPatterns(): number {
    return [...this.#args.values()].filter(({ kind }) => kind < ENV_KIND).length;
  }

  get envPatterns(): number {
    return this.#args.size - this.argPatterns;
  }

  #add(clause: ProgramClause): void {
    if (clause.kind === 'listen') {
      this.#addListen(clause);
      return;
    }
    const cgroups = clause.cgroups.map((pattern) => this.cgroups.id(pattern));
    if (clause.kind === 'cgroup') {
      for (const ids of [...this.#places(clause, cgroups), ...this.#socketUnits(clause)])
        for (const id of ids)
          this.#cgroupHeads.set(id, this.#record(clause, { cgroups: ids, next: this.#cgroupHeads.get(id) ?? 0 }));
      return;
    }
    this.#addExec(clause, decidedParts(clause), this.#places(clause, cgroups));
  }

  #addExec(clause: ProgramClause, parts: readonly ProgramPart[], places: readonly number[][]): void {
    if (parts.length === 0) return;
    const args = [
      ...clause.args.map((arg) => this.#arg(arg, false)),
      ...clause.env.map((variable) => this.#arg(variable, true)),
    ];
    const rarest = this.#rarest(args);
    for (const [part, cgroups] of pairs(parts, places)) {
      const exe = part.exe === undefined ? undefined : hashPath(this.#hashKey, part.exe);
      const script = part.script === undefined ? undefined : hashPath(this.#hashKey, part.script);
      const index = rarest ?? this.#indexOf(part, exe, script);
      index.head = this.#record(clause, {
        ...{ exe, script, args: args.map((arg) => arg.id), cgroups, next: index.head },
        flags: (part.isLate ? CLAUSE_LATE : 0) | (part.isName ? CLAUSE_NAME : 0),
        scriptState: part.scriptState ?? 0,
      });
    }
  }

  #indexOf(part: ProgramPart, exe: bigint | undefined, script: bigint | undefined): Head {
    if (exe !== undefined && !part.isName) return headOf(this.#exes, exe);
    if (script !== undefined) return headOf(this.#scripts, script);
    return part.scriptState === 2 ? this.#unsure : this.#any;
  }

  addSpecial({ gateways, failsafe, executors = [] }: SpecialExecutables): void {
    for (const { path, startsJobs } of gateways)
      for (const list of [this.#exes, this.#scripts])
        headOf(list, hashPath(this.#hashKey, path)).flags |=
          ProcFlag.PROC_GATEWAY | (startsJobs ? ExeFlag.EXE_JOBS : 0);
    const flag = (path: string, flags: number): void => {
      headOf(this.#exes, hashPath(this.#hashKey, path)).flags |= flags;
    };
    for (const path of executors) flag(path, ExeFlag.EXE_EXECUTOR);
    for (const path of failsafe) flag(path, ProcFlag.PROC_FAILSAFE);
  }

  requireRoom(maps: DatapathMaps): void {
    requireRoom('argument patterns', this.#args.size, ARG_PATTERNS_MAX);
    requireRoom('clauses', this.records.length, CLAUSES_MAX);
    requireRoom('executables and scripts', this.#exes.size + this.#scripts.size, maps.exe_match.maxEntries / 2 - 512);
    requireRoom('cgroup patterns', this.cgroups.all().length, CGROUP_PATTERN_MAX - 1);
    requireRoom('listening ports', this.#listen.size, maps.listen_match.maxEntries / 2);
  }

  write(maps: DatapathMaps): void {
    const slot = this.#slot;
    const byKey = nested(
      [...this.#args.values()].filter((arg) => (arg.kind & PREFIX_KIND) !== 0),
      (arg) => arg,
    );
    const trie = this.cgroups.trie();
    maps.clauses.updateBatch(this.#clauses.map((clause, i) => [slot * CLAUSES_MAX + i, clause] as const));
    for (const [kind, list] of [
      [EXE_PATH, this.#exes],
      [EXE_SCRIPT, this.#scripts],
    ] as const)
      maps.exe_match.updateBatch([...list].map(([hash, value]) => [{ hash, slot, kind }, value] as const));
    writeInterpreters(maps, this.#hashKey, slot);
    maps.arg_match.updateBatch(
      [...this.#args.values()]
        .filter((arg) => (arg.kind & PREFIX_KIND) === 0)
        .map(
          (arg) =>
            [
              { slot: slot + slotOf(arg.kind), text: arg.key },
              { pattern: arg.id, head: arg.head },
            ] as const,
        ),
    );
    for (const { kind, key, ids } of byKey)
      maps.arg_prefix.set(
        {
          prefixlen: 8 + 8 * Buffer.byteLength(key),
          slot: slot + slotOf(kind),
          text: bytes(key, PATTERN_MAX - 1),
        },
        { n: ids.length, patterns: padded(ids.map((arg) => arg.id)), heads: padded(ids.map((arg) => arg.head)) },
      );
    for (const pattern of this.cgroups.all())
      maps.cgroup_pattern.set(slot * CGROUP_PATTERN_MAX + pattern.id, {
        head: this.#cgroupHeads.get(pattern.id) ?? 0,
        prefix_length: pattern.prefixLength,
        suffix_length: Buffer.byteLength(pattern.suffix),
        level: pattern.level,
        flags: (pattern.exact ? PATTERN_EXACT : 0) | (this.cgroups.isElsewhere(pattern.id) ? PATTERN_ELSEWHERE : 0),
        pad: new Uint8Array(7),
        suffix: pattern.suffix,
      });
    for (const { kind, key, ids } of trie)
      maps.cgroup_match.set(
        { prefixlen: 16 + 8 * Buffer.byteLength(key), slot, kind, text: bytes(key, PATTERN_MAX - 2) },
        { n: ids.length, patterns: padded(ids) },
      );
    maps.listen_match.updateBatch(
      [...this.#listen.values()].map(
        ({ addr, port, protocol, clause, number }) =>
          [
            { addr, port, protocol, slot },
            { identity: clause.identity, rank: clause.rank, clause: number, pad: 0 },
          ] as const,
      ),
    );
  }

  /** The clause's cgroup patterns, once for each place. */
  #places({ places }: ProgramClause, cgroups: readonly number[]): number[][] {
    if (places === undefined) return [[...cgroups]];
    return places.map((place) => [...cgroups, this.cgroups.id({ on: 'path', ...placeAffix(toGlob(place))! })]);
  }

  /** A listener is in the cgroup of its socket unit. */
  #socketUnits({ sockets, cgroups }: ProgramClause): number[][] {
    const others = cgroups.filter(({ on }) => on === 'path').map((pattern) => this.cgroups.id(pattern));
    return socketAffixes(sockets ?? { also: [], not: [] }).map((affix) => [
      this.cgroups.id({ on: 'unit', ...affix }),
      ...others,
    ]);
  }

  #addListen(clause: ProgramClause): void {
    const number = this.#record(clause, { cgroups: [], next: 0 });
    for (const pattern of clause.listen ?? []) {
      const addr = pattern.address === undefined ? new Uint8Array(16) : parseAddress(pattern.address)!;
      for (let port = pattern.from; port <= pattern.to; port++) {
        const key = `${pattern.protocol} ${pattern.address ?? ''} ${port}`;
        // clauses come by rank ascending: the later one wins
        this.#listen.set(key, { addr, port, protocol: pattern.protocol, clause, number });
      }
    }
  }

  #record(
    clause: ProgramClause,
    parts: {
      exe?: bigint | undefined;
      script?: bigint | undefined;
      args?: readonly number[];
      cgroups: readonly number[];
      next: number;
      flags?: number;
      scriptState?: number;
    },
  ): number {
    const flags =
      (parts.flags ?? 0) |
      (parts.exe === undefined ? 0 : CLAUSE_EXE) |
      (parts.script === undefined ? 0 : CLAUSE_SCRIPT) |
      (clause.uid === undefined ? 0 : CLAUSE_UID) |
      (clause.spoofable === null ? 0 : CLAUSE_SPOOFABLE) |
      (clause.inherit === 'none' ? CLAUSE_NO_INHERIT : 0);
    this.#clauses.push({
      exe: parts.exe ?? 0n,
      script: parts.script ?? 0n,
      identity: clause.identity,
      rank: clause.rank,
      uid: clause.uid ?? 0,
      next: parts.next,
      args: padded(parts.args ?? [], CLAUSE_ARGS),
      cgroups: [parts.cgroups[0] ?? 0, parts.cgroups[1] ?? 0],
      flags,
      script_state: parts.scriptState ?? 0,
      pad: new Uint8Array(6),
    });
    this.records.push(clause);
    return this.records.length;
  }

  #arg(pattern: { text: string; prefix: boolean }, isEnv: boolean): ArgPattern {
    const kind = kindOf(pattern, isEnv);
    const text = `${kind}${pattern.text}`;
    let known = this.#args.get(text);
    if (known === undefined) {
      known = { kind, key: pattern.text, id: this.#args.size + 1, head: 0 };
      this.#args.set(text, known);
    }
    return known;
  }

  /** The argument that the fewest clauses want: its chain is the shortest. */
  #rarest(args: readonly ArgPattern[]): ArgPattern | undefined {
    const use = (arg: ArgPattern): number => this.#argUse.get(`${arg.kind}${arg.key}`) ?? 0;
    return [...args].sort((a, b) => use(a) - use(b))[0];
  }
}

/** Where a chain of clauses begins; its record's number, 0 = none. */
interface Head {
  head: number;
  flags: number;
}

function headOf(list: Map<bigint, Head>, hash: bigint): Head {
  let entry = list.get(hash);
  if (entry === undefined) {
    entry = { head: 0, flags: 0 };
    list.set(hash, entry);
  }
  return entry;
}

function pairs<A, B>(list: readonly A[], others: readonly B[]): [A, B][] {
  return list.flatMap((a) => others.map((b): [A, B] => [a, b]));
}

function argUse(clauses: readonly ProgramClause[]): Map<string, number> {
  const use = new Map<string, number>();
  for (const { args, env } of clauses)
    for (const [patterns, isEnv] of [
      [args, false],
      [env, true],
    ] as const)
      for (const pattern of patterns) {
        const key = `${kindOf(pattern, isEnv)}${pattern.text}`;
        use.set(key, (use.get(key) ?? 0) + 1);
      }
  return use;
}

function kindOf({ prefix }: { prefix: boolean }, isEnv: boolean): number {
  return (prefix ? PREFIX_KIND : 0) + (isEnv ? ENV_KIND : 0);
}

function slotOf(kind: number): number {
  return kind & ENV_KIND ? ENV_SLOT : 0;
}

export function requireRoom(what: string, wanted: number, limit: number): void {
  if (wanted > limit) throw new RangeError(`${wanted} ${what}, ${limit} fit`);
}

function bytes(text: string, length: number): Uint8Array {
  const padded = new Uint8Array(length);
  padded.set(Buffer.from(text));
  return padded;
}

function padded(numbers: readonly number[], length = 8): number[] {
  return Array.from({ length }, (_, i) => numbers[i] ?? 0);
}

interface ArgPattern {
  /** +1 prefix, +2 of the environment. */
  readonly kind: number;
  readonly key: string;
  readonly id: number;
  head: number;
}
