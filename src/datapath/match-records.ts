import { globLiteral, toGlob } from '../core/glob.ts';
import type { ProgramClause } from '../core/match-program.ts';

/** What one record of a clause asks about the program; a clause with several executables or scripts has several. */
export interface ProgramPart {
  /** Path of the executable; with `isName` the name of its file alone. */
  readonly exe?: string;
  readonly isName?: boolean;
  readonly script?: string;
  /** What holds is not all of the clause: user space finishes it. */
  readonly isLate?: boolean;
  /** Of a late one: how much must be open about the script (enum script_state). */
  readonly scriptState?: 1 | 2;
}

const SCRIPT_KNOWN = 1;
const SCRIPT_UNSURE = 2;

/** Records of a clause that the kernel decides, the last word on a script that a link may lead to left to user space. */
export function decidedParts(clause: ProgramClause): ProgramPart[] {
  const exes = (clause.exes ?? [undefined]).map((exe) => (exe === undefined ? {} : { exe }));
  if (clause.scripts === undefined) return exes;
  const scripts = scriptPaths(clause).map((script): ProgramPart => ({ script }));
  return product(exes, [...scripts, { isLate: true, scriptState: SCRIPT_UNSURE }]);
}

/**
 * Records that say of which processes a late clause may come true: all that the kernel can tell must hold. None for what
 * waits for a socket to listen: it is named when that does.
 */
export function lateParts(clause: ProgramClause): ProgramPart[] {
  if (clause.kind !== 'exec' || clause.listen !== undefined) return [];
  return product(lateExes(clause), lateScripts(clause)).map((part) => ({ ...part, isLate: true }));
}

/** Of a pattern, files that come later count too: the name, where the pattern spells it out. */
function lateExes({ exes, source }: ProgramClause): ProgramPart[] {
  const pattern = source.process?.exe;
  if (pattern === undefined) return [{}];
  if (globLiteral(toGlob(pattern)) !== undefined) return (exes ?? []).map((exe) => ({ exe }));
  const name = globLiteral(toGlob(pattern.slice(pattern.lastIndexOf('/') + 1)));
  return name === undefined ? [{}] : [{ exe: name, isName: true }];
}

function lateScripts(clause: ProgramClause): ProgramPart[] {
  const pattern = clause.source.process?.script;
  if (pattern === undefined) return [{}];
  if (globLiteral(toGlob(pattern)) === undefined) return [{ scriptState: SCRIPT_KNOWN }];
  return [...scriptPaths(clause).map((script) => ({ script })), { scriptState: SCRIPT_UNSURE }];
}

/** The resolved paths, and the path as it is written: that is how an argument names it. */
function scriptPaths({ scripts, source }: ProgramClause): string[] {
  const written = globLiteral(toGlob(source.process!.script!));
  return [...new Set([...(scripts ?? []), ...(written === undefined ? [] : [written])])];
}

function product(exes: readonly ProgramPart[], scripts: readonly ProgramPart[]): ProgramPart[] {
  return exes.flatMap((exe) => scripts.map((script) => ({ ...exe, ...script })));
}
