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
 * A label with `inherit: none` is not handed on; a child of the same executable and script counts as a fork, unless the
 * kernel saw its exec.
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
    const inherited = parent && from && handedOn(from, parent, isGateway);
    let own = decideProcess(program, inherited ? { ...process, inherited } : process);
    // Then it has what its cgroup gives it, as at fork in the kernel.
    if (parent && from && isMereFork(own, process, from, parent))
      own = decideProcess(program, { args: [], uid: -1, cgroup: process.cgroup });
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
  isGateway: (exe: string) => boolean,
): InheritedLabel | undefined {
  const { clause, origin, gainedIn } = decision;
  if (clause === undefined || origin === 'listen') return undefined;
  if (origin === 'inherited') return { rank: clause.rank, gainedIn, origin: 'exec' };
  if (clause.inherit === 'none' || isGateway(parent.exe ?? '')) return undefined;
  return { rank: clause.rank, gainedIn, origin };
}

/** Does the child meet a clause that ends at its parent only because it is a fork of it, as far as can be seen? */
function isMereFork(own: Decision, child: TreeProcess, from: Decision, parent: TreeProcess): boolean {
  const { clause } = own;
  if (clause?.inherit !== 'none' || own.origin !== 'exec' || from.clause !== clause) return false;
  return child.metAtExec !== clause.rank && child.exe === parent.exe && child.script === parent.script;
}
