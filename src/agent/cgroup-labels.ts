import { decideProcess } from '../core/match-decide.ts';
import type { MatchProgram, ProgramClause } from '../core/match-program.ts';
import { isUnitName } from '../datapath/cgroup-patterns.ts';
import type { MatchApplier } from '../datapath/match-applier.ts';
import type { CgroupLabel } from '../datapath/postern.skel.ts';
import type { CgroupTree } from './cgroup-tree.ts';
import { depthOf } from './proc-entry.ts';

const CGROUP_INSIDE_UNIT = 1;
const CGROUP_SPOOFABLE = 2;

/** What each cgroup that is there gives to the processes in it, by id; of those that give nothing and meet no pattern, none. */
export function cgroupLabels(
  { clauses, late }: MatchProgram,
  tree: CgroupTree,
  applier: MatchApplier,
): ReadonlyMap<number, CgroupLabel> {
  const isCgroup = ({ kind }: ProgramClause): boolean => kind === 'cgroup';
  const program = { clauses: clauses.filter(isCgroup), late: late.filter(isCgroup), waiting: [] };
  const wanted = new Map<number, CgroupLabel>();
  for (const [id, path] of tree.scan()) {
    const { clause, gainedIn } = decideProcess(program, { args: [], uid: -1, cgroup: path });
    const patterns = applier.cgroupPatterns(path);
    const insideUnit = path.split('/').some(isUnitName);
    if (clause === undefined && patterns.length === 0 && !insideUnit) continue;
    wanted.set(id, {
      identity: clause?.identity ?? 0,
      rank: clause?.rank ?? 0,
      clause: clause === undefined ? 0 : applier.numberOf(clause),
      level: depthOf(gainedIn),
      flags:
        (insideUnit ? CGROUP_INSIDE_UNIT : 0) |
        (clause !== undefined && clause.spoofable !== null ? CGROUP_SPOOFABLE : 0),
      n_patterns: patterns.length,
      pad: 0,
      gained: clause === undefined ? 0 : (tree.id(gainedIn) ?? id),
      patterns: Array.from({ length: 8 }, (_, i) => patterns[i] ?? 0),
    });
  }
  return wanted;
}
