import { type Decision, decideProcess, type InheritedLabel, type ProcessFacts } from './match-decide.ts';
import type { MatchProgram } from './match-program.ts';

/** One running process, as found: what it is, and whose child. */
export interface TreeProcess extends Omit<ProcessFacts, 'inherited'> {
  readonly pid: number;
  readonly ppid: number;
}

/** `gainedBy`: the process that gained the label; itself unless inherited. Together with the workload it is the endpoint. */
export interface TreeDecision extends Decision {
  readonly gainedBy: number;
}

/**
 * Labels of processes that ran before anybody watched (start of the agent, a new registration): parents first, each
 * handing on its label as fork does, except that a gateway does not hand on one that it gained itself.
 * A label with `inherit: none` is handed on to a fork alone: a child of the same executable and script.
 * What cannot be seen afterwards, a parent that is gone, hands on nothing.
 */
export function decideTree(
  program: MatchProgram,
  processes: readonly TreeProcess[],
  isGateway: (exe: string) => boolean,
): ReadonlyMap<number, TreeDecision> {
  const byPid = new Map(processes.map((process) => [process.pid, process]));
  const decided = new Map<number, TreeDecision>();
  // A loop of parents (pid reuse during the scan) ends at the one that is being decided.
  const open = new Set<number>();
  const decide = (process: TreeProcess): TreeDecision => {
    const known = decided.get(process.pid);
    if (known !== undefined) return known;
    open.add(process.pid);
    const parent = open.has(process.ppid) ? undefined : byPid.get(process.ppid);
    const from = parent && decide(parent);
    const inherited = parent && from && handedOn(from, parent, process, isGateway);
    const own = decideProcess(program, inherited ? { ...process, inherited } : process);
    const decision = { ...own, gainedBy: own.origin === 'inherited' && from ? from.gainedBy : process.pid };
    open.delete(process.pid);
    decided.set(process.pid, decision);
    return decision;
  };
  for (const process of processes) decide(process);
  return decided;
}

function handedOn(
  decision: Decision,
  parent: TreeProcess,
  child: TreeProcess,
  isGateway: (exe: string) => boolean,
): InheritedLabel | undefined {
  const { clause, origin, gainedIn } = decision;
  if (clause === undefined || origin === 'listen') return undefined;
  if (clause.inherit === 'none' && !isSameProgram(parent, child)) return undefined;
  if (origin !== 'inherited') return isGateway(parent.exe ?? '') ? undefined : { rank: clause.rank, gainedIn, origin };
  return { rank: clause.rank, gainedIn, origin: 'exec' };
}

/** As far as can be seen afterwards: a fork that did not exec. */
function isSameProgram(a: TreeProcess, b: TreeProcess): boolean {
  return a.exe === b.exe && a.script === b.script;
}
