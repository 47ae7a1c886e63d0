import { type ArgsRegex, readArgsRegex } from './args-regex.ts';
import { type Affix, type Glob, globAffix, globMatches, toGlob } from './glob.ts';
import { type ListenPattern, listenMatches, type Parsed, parseListen } from './match-listen.ts';
import { type ContainerPattern, toContainerPattern, toUserUnit, type UserUnit } from './match-place.ts';
import { isNamedUnit, type SocketUnits } from './match-sockets.ts';
import { escapeUnit, unescapeUnit } from './match-unit.ts';
import { utf8Bytes } from './utf8.ts';
import type { MatchClause } from './workload.ts';

/** One clause of a `match` with its patterns read. Every field that is set must hold (AND). */
export interface Clause {
  readonly unit?: Glob;
  readonly cgroup?: Glob;
  readonly userUnit?: UserUnit;
  readonly container?: ContainerPattern;
  /** What the host made of `userUnit` or `container`: cgroups, one of which must hold. */
  readonly places?: readonly Glob[];
  readonly exe?: Glob;
  readonly script?: Glob;
  readonly user?: string;
  readonly args: readonly ArgPattern[];
  readonly env: readonly ArgPattern[];
  readonly argsRegex?: ArgsRegex;
  readonly listen: readonly ListenPattern[];
}

/** One whole element of argv or environ equals `text`, or begins with it. */
export interface ArgPattern {
  readonly text: string;
  readonly prefix: boolean;
}

/** From a clause that `validateWorkload` let pass; throws on anything else. */
export function toClause(source: MatchClause, places?: readonly string[]): Clause {
  const { systemdUnit, systemdUserUnit, cgroup, container, process, listen } = source;
  return {
    ...(systemdUnit === undefined ? {} : { unit: toGlob(systemdUnit) }),
    ...(cgroup === undefined ? {} : { cgroup: toGlob(trimCgroup(cgroup)) }),
    ...(systemdUserUnit === undefined ? {} : { userUnit: toUserUnit(systemdUserUnit) }),
    ...(container === undefined ? {} : { container: toContainerPattern(container) }),
    ...(places === undefined ? {} : { places: places.map(toGlob) }),
    ...(process?.exe === undefined ? {} : { exe: toGlob(process.exe) }),
    ...(process?.script === undefined ? {} : { script: toGlob(process.script) }),
    ...(process?.user === undefined ? {} : { user: process.user }),
    args: (process?.args ?? []).map((arg) => must(parseArg(arg))),
    env: (process?.env ?? []).map((variable) => must(parseArg(variable))),
    ...(process?.argsRegex === undefined ? {} : { argsRegex: must(readArgsRegex(process.argsRegex)) }),
    listen: (listen ?? []).map((pattern) => must(parseListen(pattern))),
  };
}

/** `\*` and `\\` are the characters; a `*` that is not escaped may only end the pattern; all else stands for itself. */
export function parseArg(pattern: string): Parsed<ArgPattern> {
  const chars = Array.from(pattern);
  let text = '';
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i]!;
    if (char === '*') {
      if (i < chars.length - 1)
        return { ok: false, message: `"*" at column ${i + 1}: only the end of an argument may be open` };
      if (text === '') return { ok: false, message: '"*" alone matches every process' };
      return { ok: true, value: { text, prefix: true } };
    }
    if (char === '\\') {
      const next = chars[++i];
      if (next !== '*' && next !== '\\')
        return { ok: false, message: `"\\" at column ${i}: only \\* and \\\\ are escapes` };
      text += next;
    } else {
      text += char;
    }
  }
  if (text === '') return { ok: false, message: 'an empty argument tells nothing' };
  return { ok: true, value: { text, prefix: false } };
}

/** Paths are written with or without the leading slash that /proc/PID/cgroup shows. */
export function trimCgroup(path: string): string {
  return path.replace(/^\/+/, '').replace(/\/+$/, '');
}

/** `/a/b` → `a`, `a/b`: the cgroup and its ancestors, topmost first, without the root. */
export function cgroupChain(path: string): string[] {
  const parts = trimCgroup(path)
    .split('/')
    .filter((part) => part !== '');
  return parts.map((_, i) => parts.slice(0, i + 1).join('/'));
}

/**
 * Is this cgroup the system manager's unit of that name? The last component is the unit, and no component above it is a
 * service or a scope: below `user@1000.service` a user names units, inside of a container its own systemd does.
 */
export function isUnitCgroup(path: string, matches: (name: string) => boolean): boolean {
  const parts = path.split('/');
  const name = parts.pop()!;
  return matches(unescapeUnit(name)) && !parts.some((part) => part.endsWith('.service') || part.endsWith('.scope'));
}

/** Does it say where a process runs? */
export function isPlaced({ unit, cgroup, userUnit, container }: Clause): boolean {
  return [unit, cgroup, userUnit, container].some((where) => where !== undefined);
}

/** Where on the chain the unit and cgroup patterns of the clause all hold first; undefined = nowhere. */
export function gainedAt(clause: Clause, chain: readonly string[], sockets?: SocketUnits): string | undefined {
  let unitHolds = clause.unit === undefined;
  let pathHolds = clause.cgroup === undefined;
  let placeHolds = clause.places === undefined;
  for (const path of chain) {
    unitHolds ||= isUnitCgroup(path, (name) => isNamedUnit(clause.unit!, name, sockets));
    pathHolds ||= globMatches(clause.cgroup!, path);
    placeHolds ||= clause.places!.some((place) => globMatches(place, path));
    if (unitHolds && pathHolds && placeHolds) return path;
  }
  return undefined;
}

export function argsMatch(patterns: readonly ArgPattern[], args: ReadonlySet<string>): boolean {
  return patterns.every(({ text, prefix }) => (prefix ? anyStartsWith(args, text) : args.has(text)));
}

function anyStartsWith(args: ReadonlySet<string>, text: string): boolean {
  for (const arg of args) if (arg.startsWith(text)) return true;
  return false;
}

/** What of the clause the kernel cannot decide, whatever its patterns; undefined = nothing. */
export function lateField(clause: Clause): 'argsRegex' | undefined {
  return clause.argsRegex === undefined ? undefined : 'argsRegex';
}

export function anyListenMatches(patterns: readonly ListenPattern[], sockets: readonly ListeningSocket[]): boolean {
  return sockets.some((socket) => patterns.some((pattern) => listenMatches(pattern, socket)));
}

export interface ListeningSocket {
  readonly protocol: 6 | 17;
  readonly port: number;
  readonly address: string;
}

/**
 * The clause's cgroup patterns as the kernel takes them; undefined when one needs more than a literal prefix, one star
 * and a literal suffix. A unit whose name cgroupfs would reserve (`memory.slice`) has its folder's `_` in front.
 */
export function kernelCgroups(clause: Clause): (Affix & { readonly on: 'path' | 'unit' })[] | undefined {
  const unit = clause.unit && globAffix(clause.unit);
  const path = clause.cgroup && globAffix(clause.cgroup);
  if ((clause.unit && !fits(unit)) || (clause.cgroup && !fits(path))) return undefined;
  return [
    ...(unit ? [{ on: 'unit' as const, ...unit, prefix: escapeUnit(unit.prefix) }] : []),
    ...(path ? [{ on: 'path' as const, ...path }] : []),
  ];
}

/** A place as the kernel takes it. */
export function placeAffix(place: Glob): Affix | undefined {
  const affix = globAffix(place);
  return fits(affix) ? affix : undefined;
}

/** Bytes that the kernel compares: PATTERN_MAX of bpf/abi.h less its key's head and a NUL, and of a suffix. */
function fits(affix: Affix | undefined): affix is Affix {
  return affix !== undefined && utf8Bytes(affix.prefix) <= 251 && utf8Bytes(affix.suffix) <= 63;
}

function must<T>(parsed: Parsed<T>): T {
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.value;
}
