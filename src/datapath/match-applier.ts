import type { MatchProgram, ProgramClause } from '../core/match-program.ts';
import { CgroupPatterns } from './cgroup-patterns.ts';
import { OPTION_SLOT } from './interpreter-tables.ts';
import type { DatapathMaps } from './maps.ts';
import { CLAUSES_MAX, ENV_SLOT, MatchTables, requireRoom, type SpecialExecutables } from './match-tables.ts';

/**
 * Writes a match program into the idle half of the match tables and flips. The kernel's clause numbers are those of
 * `clauseOf`; a clause with several executables or cgroup patterns takes several records.
 */
export class MatchApplier {
  readonly #maps: DatapathMaps;
  #cgroups = new CgroupPatterns();
  #records: readonly ProgramClause[] = [];

  constructor(maps: DatapathMaps) {
    this.#maps = maps;
  }

  /** By the kernel's clause number less one. */
  get clauses(): readonly ProgramClause[] {
    return this.#records;
  }

  /** The clause behind a kernel's clause number (0 = none). */
  clauseOf(number: number): ProgramClause | undefined {
    return this.#records[number - 1];
  }

  /** The number under which the kernel would report this clause. */
  numberOf(clause: ProgramClause): number {
    return this.#records.indexOf(clause) + 1;
  }

  /** Numbers of the cgroup patterns that a cgroup or one above it meets, at most 8. `path` without leading slash. */
  cgroupPatterns(path: string): number[] {
    return this.#cgroups.met(path).slice(0, 8);
  }

  /** Throws RangeError if the program does not fit; then nothing has changed. */
  apply(program: MatchProgram, special: SpecialExecutables): void {
    const config = this.#maps.config.get(0)!;
    const slot = 1 - config.match_slot;
    const tables = new MatchTables(config.hash_key, slot, program);
    tables.addSpecial(special);
    const records = [...tables.records];
    for (const clause of program.late) if (!records.includes(clause)) records.push(clause);
    requireRoom('clauses', records.length, CLAUSES_MAX);
    tables.requireRoom(this.#maps);
    this.#clear(slot);
    tables.write(this.#maps);
    const idle = <T>(values: readonly T[], value: T): T[] => values.with(slot, value);
    const now = this.#maps.config.get(0)!;
    this.#maps.config.set(0, {
      ...now,
      any_head: idle(now.any_head, tables.anyHead),
      unsure_head: idle(now.unsure_head, tables.unsureHead),
      arg_patterns: idle(now.arg_patterns, tables.argPatterns),
      env_patterns: idle(now.env_patterns, tables.envPatterns),
      scripts: idle(now.scripts, tables.scripts),
      late_cgroups: idle(now.late_cgroups, program.late.some(isLateCgroup) ? 1 : 0),
    });
    this.#maps.config.set(0, { ...this.#maps.config.get(0)!, match_slot: slot });
    this.#records = records;
    this.#cgroups = tables.cgroups;
  }

  #clear(slot: number): void {
    const { exe_match, arg_match, arg_prefix, cgroup_match, listen_match } = this.#maps;
    exe_match.deleteBatch([...exe_match.keys()].filter((key) => key.slot === slot));
    const isOwn = (key: { slot: number }): boolean => key.slot < OPTION_SLOT && key.slot % ENV_SLOT === slot;
    arg_match.deleteBatch([...arg_match.keys()].filter(isOwn));
    arg_prefix.deleteBatch([...arg_prefix.keys()].filter((key) => key.slot % ENV_SLOT === slot));
    cgroup_match.deleteBatch([...cgroup_match.keys()].filter((key) => key.slot === slot));
    listen_match.deleteBatch([...listen_match.keys()].filter((key) => key.slot === slot));
  }
}

/** A cgroup that comes may be one that only user space can tell. */
function isLateCgroup({ kind, listen }: ProgramClause): boolean {
  return kind === 'cgroup' && listen === undefined;
}
