import type { ProgramClause } from '../core/match-program.ts';
import { unitNames } from '../core/match-sockets.ts';

export const CGROUP_PATH = 1;
export const CGROUP_UNIT = 2;
/** NESTED_MAX of bpf/abi.h. */
export const NESTED_MAX = 8;

type Pattern = ProgramClause['cgroups'][number];

export interface NumberedPattern {
  readonly id: number;
  readonly kind: number;
  /** What the trie compares: the literal prefix; an exact pattern ends in NUL. */
  readonly key: string;
  readonly prefixLength: number;
  readonly suffix: string;
  /** Components of the path that it can match, 0 = any number. */
  readonly level: number;
  readonly exact: boolean;
}

/** Distinct cgroup patterns with their numbers, 1.. in order of first use. */
export class CgroupPatterns {
  readonly #byText = new Map<string, NumberedPattern>();

  readonly #elsewhere = new Set<number>();

  /** A socket unit that by its name would start what it does not. */
  markElsewhere(pattern: Pattern): void {
    this.#elsewhere.add(this.id(pattern));
  }

  isElsewhere(id: number): boolean {
    return this.#elsewhere.has(id);
  }

  id(pattern: Pattern): number {
    const text = [pattern.on, pattern.star, pattern.prefix, pattern.suffix].join('\0');
    const known = this.#byText.get(text);
    if (known !== undefined) return known.id;
    const exact = pattern.star === 'none';
    const segments = `${pattern.prefix}*${pattern.suffix}`.split('/').filter(Boolean).length;
    const numbered: NumberedPattern = {
      id: this.#byText.size + 1,
      kind: pattern.on === 'path' ? CGROUP_PATH : CGROUP_UNIT,
      key: exact ? `${pattern.prefix}\0` : pattern.prefix,
      prefixLength: Buffer.byteLength(pattern.prefix),
      suffix: exact ? '' : pattern.suffix,
      level: pattern.on === 'path' && pattern.star === 'segment' ? segments : 0,
      exact,
    };
    this.#byText.set(text, numbered);
    return numbered.id;
  }

  all(): readonly NumberedPattern[] {
    return [...this.#byText.values()];
  }

  /** What on_mkdir finds for a cgroup and those above it. */
  met(path: string): number[] {
    const ids = new Set<number>();
    const components = path.split('/').filter(Boolean);
    let insideUnit = false;
    for (const [index, name] of components.entries()) {
      const whole = components.slice(0, index + 1).join('/');
      const isElsewhere = [...this.#elsewhere].some((id) => meets(this.all()[id - 1]!, name, index + 1));
      const names = isElsewhere ? [name] : unitNames(name);
      for (const pattern of this.#byText.values()) {
        if (pattern.kind === CGROUP_UNIT && insideUnit) continue;
        const texts = pattern.kind === CGROUP_UNIT ? names : [whole];
        if (texts.some((text) => meets(pattern, text, index + 1))) ids.add(pattern.id);
      }
      insideUnit ||= isUnitName(name);
    }
    return [...ids];
  }

  /** One trie entry for each distinct key, with every pattern whose own key begins it: a trie returns only the longest. */
  trie(): { kind: number; key: string; ids: number[] }[] {
    return nested(this.all(), (pattern) => pattern.id);
  }
}

/** Below such a cgroup somebody else than the system manager names the units. */
export function isUnitName(name: string): boolean {
  return name.endsWith('.service') || name.endsWith('.scope');
}

function meets(pattern: NumberedPattern, text: string, level: number): boolean {
  if (pattern.level !== 0 && pattern.level !== level) return false;
  if (!`${text}\0`.startsWith(pattern.key)) return false;
  return pattern.exact || (text.endsWith(pattern.suffix) && text.length >= pattern.key.length + pattern.suffix.length);
}

/** Groups by (kind, key); each group also lists the groups whose key it begins with, shortest first. */
export function nested<P extends { readonly kind: number; readonly key: string }, V>(
  patterns: readonly P[],
  value: (pattern: P) => V,
): { kind: number; key: string; ids: V[] }[] {
  const sorted = [...patterns].sort((a, b) => a.key.length - b.key.length);
  const keys = new Map(patterns.map((pattern) => [`${pattern.kind}:${pattern.key}`, pattern]));
  return [...keys.values()].map(({ kind, key }) => {
    const ids = sorted.filter((other) => other.kind === kind && key.startsWith(other.key)).map(value);
    if (ids.length > NESTED_MAX)
      throw new RangeError(`More than ${NESTED_MAX} patterns begin like "${key}": the kernel cannot tell them apart`);
    return { kind, key, ids };
  });
}
