import { type Glob, parseGlob } from './glob.ts';
import type { Parsed } from './match-listen.ts';

/** A pattern of a unit's name: what is read by parseGlob, and nothing that a name cannot have. */
export function parseUnit(text: string): Parsed<Glob> {
  const parsed = parseGlob(text);
  if (!parsed.ok) return { ok: false, message: `${parsed.message} (column ${parsed.column})` };
  if (text.includes('/'))
    return { ok: false, message: 'is a name as systemctl prints it, without "/"; for paths use cgroup' };
  const last = parsed.glob.tokens.at(-1);
  if (last?.kind === 'literal' && !/\.(service|scope|slice|socket|mount|swap)$/.test(text)) {
    return { ok: false, message: 'has no unit type: end it with one, or with *' };
  }
  return { ok: true, value: parsed.glob };
}

// systemd's cg_needs_escape: names that cgroupfs uses for its own files get one "_" in front.
const RESERVED =
  /^(_|\.|notify_on_release$|release_agent$|tasks$|(cgroup|cpu|cpuset|io|memory|hugetlb|pids|rdma|misc|dmem|blkio|devices|freezer|cpuacct)\.)/;

/** As its cgroup is called. */
export function escapeUnit(prefix: string): string {
  return RESERVED.test(prefix) ? `_${prefix}` : prefix;
}

/** As systemctl prints it. */
export function unescapeUnit(name: string): string {
  return name.startsWith('_') && RESERVED.test(name.slice(1)) ? name.slice(1) : name;
}
