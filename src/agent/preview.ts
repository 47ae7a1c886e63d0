import type { WireWorkload } from '../api/agent-stream.ts';
import type { HostPreview, PreviewProcess } from '../api/preview.ts';
import type { MatchProgram } from '../core/match-program.ts';
import type { TreeDecision } from '../core/match-tree.ts';
import type { MatchClause } from '../core/workload.ts';
import { type HostLook, scanSlowly } from './look-slowly.ts';
import type { HostProcess } from './process-scan.ts';
import { unitOf } from './unit-of.ts';
import type { UserNames } from './user-names.ts';

const LISTED = 1000;

export interface PreviewSources {
  readonly users: UserNames;
  /** The program of this host with this registration in it, in place of one of the same name. */
  readonly programWith: (workload: WireWorkload) => MatchProgram;
  /** What each process would be by that program. */
  readonly foresee: (program: MatchProgram, look: HostLook) => ReadonlyMap<number, TreeDecision>;
  /** `namespace/name` of what a process is now. */
  readonly workloadOf: (pid: number) => string | undefined;
}

/**
 * What a registration would match on this host: the look takes many short turns, so that policy does not wait behind it; the
 * decision is that of a PUT.
 */
export async function preview(workload: WireWorkload, sources: PreviewSources): Promise<HostPreview> {
  const start = performance.now();
  const ref = `${workload.namespace}/${workload.name}`;
  const look = await scanSlowly(
    sources.users,
    workload.match.some((clause) => (clause as MatchClause).process?.env !== undefined),
  );
  const program = sources.programWith(workload);
  const decided = sources.foresee(program, look);
  const found = look.processes.flatMap((process) => {
    const decision = decided.get(process.pid);
    return decision === undefined ? [] : (toProcess(process, decision, ref, sources) ?? []);
  });
  const named = found.filter(({ outcome }) => outcome !== 'loses');
  const programs = new Set(named.map(({ exe }) => exe)).size;
  return {
    confidence: programs === 0 ? 0 : Math.round(100 / programs) / 100,
    processes: found.slice(0, LISTED),
    more: Math.max(0, found.length - LISTED),
    waiting: program.waiting
      .filter((waiting) => waiting.workload === ref)
      .map(({ clause, reason }) => `match[${clause}]: ${reason}`),
    scanned: look.processes.length,
    tookMs: Math.round(performance.now() - start),
  };
}

function toProcess(
  process: HostProcess,
  { clause, origin, beats }: TreeDecision,
  ref: string,
  { workloadOf }: PreviewSources,
): PreviewProcess | undefined {
  const now = workloadOf(process.pid);
  const isIt = clause?.workload === ref;
  const lost = isIt ? undefined : beats.find(({ workload }) => workload === ref);
  if (!isIt && lost === undefined) return undefined;
  const loser = isIt && now !== undefined && now !== ref ? now : undefined;
  const by = isIt ? beats.find(({ workload }) => workload === loser)?.by : lost?.by;
  const outcome = !isIt ? 'loses' : now === ref ? 'has' : 'wins';
  const other = isIt ? loser : clause?.workload;
  const unit = unitOf(process.cgroup)?.name;
  return {
    pid: process.pid,
    exe: process.exe ?? '',
    user: process.user,
    ...(unit === undefined ? {} : { unit }),
    cgroup: process.cgroup,
    startedAt: process.startedAt,
    ...(isIt ? { clause: clause.clause, grade: clause.grade } : {}),
    origin,
    outcome,
    ...(other === undefined ? {} : { other }),
    ...(by === undefined ? {} : { by }),
  };
}
