import { type Gateways, gatewayOf } from './gateways.ts';
import { isInterpreter } from './interpreter.ts';
import { type Decision, decideProcess, type InheritedLabel, type ProcessFacts } from './match-decide.ts';
import type { MatchProgram, ProgramClause } from './match-program.ts';

/** One running process, as found: what it is, and whose child. */
export interface TreeProcess extends Omit<ProcessFacts, 'inherited'> {
  readonly pid: number;
  readonly ppid: number;
  /** A label that only the kernel still knows: who handed it on is gone, or was an earlier program of this process. */
  readonly kept?: InheritedLabel & { readonly gainedBy: number };
  /** Whether the kernel saw it begin as the main program of its cgroup; absent = nobody saw. */
  readonly isMain?: boolean;
  /** The kernel saw a gateway at its exec, and nobody sees any more what it runs. */
  readonly isHiddenGateway?: boolean;
}

/** `gainedBy`: the process that gained the label; itself unless inherited. Together with the workload it is the endpoint. */
export interface TreeDecision extends Decision {
  readonly gainedBy: number;
  /** The main program of its cgroup, which starts jobs. */
  readonly startsJobs: boolean;
  /** The cgroup whose label it does not have, being a job; see ProcessFacts. */
  readonly refuses?: string;
}

/**
 * Labels of processes that ran before anybody watched (start of the agent, a new registration): parents first, each
 * handing on its label as fork does, except that a gateway does not hand on one that it gained itself, and that a job
 * does not have the label of the unit of which cron or supervisord is the main program.
 * A label with `inherit: none` is not handed on; a child of the same executable and script counts as a fork, unless the
 * kernel saw its exec. A child of the same program and another user counts as a fork that gave up root: a user is the one
 * at the exec.
 * What cannot be seen afterwards, a parent that is gone, hands on nothing but what the kernel kept.
 */
export function decideTree(
  program: MatchProgram,
  processes: readonly TreeProcess[],
  gateways: Gateways,
): ReadonlyMap<number, TreeDecision> {
  const byPid = new Map(processes.map((process) => [process.pid, process]));
  const decided = new Map<number, TreeDecision>();
  const uids = new Map<number, number>();
  /** Main programs that start jobs: the cgroup whose label their jobs refuse, whatever named themselves. */
  const jobsOf = new Map<number, string>();
  /** Whose clause ended at the process from which they were forked, and that clause. */
  const ended = new Map<number, ProgramClause>();
  // A loop of parents (pid reuse during the scan) ends at the one that is being decided.
  const open = new Set<number>();
  /** What its cgroup alone makes of it. */
  const placed = (process: TreeProcess, refuses: string | undefined): Decision =>
    decideProcess(program, {
      ...(refuses === undefined ? {} : { refuses }),
      ...nothing(process.home ?? process.cgroup),
    });
  const decide = (process: TreeProcess): TreeDecision => {
    const known = decided.get(process.pid);
    if (known !== undefined) return known;
    open.add(process.pid);
    const parent = open.has(process.ppid) ? undefined : byPid.get(process.ppid);
    const from = parent && decide(parent);
    const inherited = process.kept ?? (parent && from && handedOn(from, parent, gateways));
    const refuses = process.refuses ?? (from && refusedBy(from, jobsOf.get(process.ppid), process, gateways));
    const uid = parent && uids.get(parent.pid) === 0 && isWorker(process, parent) ? 0 : process.uid;
    uids.set(process.pid, uid);
    const facts = { ...process, uid, ...(refuses === undefined ? {} : { refuses }) };
    let own = decideProcess(program, inherited ? { ...facts, inherited } : facts);
    // Then it has what its cgroup gives it, as at fork in the kernel.
    if (parent && isMereFork(own, process, [from?.clause, ended.get(parent.pid)], parent)) {
      ended.set(process.pid, own.clause!);
      own = placed(process, refuses);
    }
    const place =
      own.origin !== 'inherited' && isJobHost(process, from, gateways) ? placed(process, refuses) : undefined;
    if (place?.clause !== undefined) jobsOf.set(process.pid, place.gainedIn);
    const decision = {
      ...own,
      gainedBy: own.origin === 'inherited' ? (process.kept?.gainedBy ?? from?.gainedBy ?? process.pid) : process.pid,
      startsJobs: jobsOf.has(process.pid),
      ...(refuses === undefined || own.clause !== undefined ? {} : { refuses }),
    };
    open.delete(process.pid);
    decided.set(process.pid, decision);
    return decision;
  };
  for (const process of processes) decide(process);
  return decided;
}

function nothing(cgroup: string): ProcessFacts {
  return { args: [], uid: -1, cgroup };
}

function handedOn(decision: Decision, parent: TreeProcess, gateways: Gateways): InheritedLabel | undefined {
  const { clause, origin, gainedIn } = decision;
  // A cgroup's label is met by who is in there; who was placed elsewhere has left it.
  if (clause === undefined || origin === 'listen' || origin === 'cgroup') return undefined;
  if (origin === 'inherited') return { rank: clause.rank, gainedIn, origin: 'exec' };
  if (clause.inherit === 'none' || parent.isHiddenGateway || gatewayOf(gateways, parent) !== undefined)
    return undefined;
  return { rank: clause.rank, gainedIn, origin };
}

function isStarter(process: TreeProcess, gateways: Gateways): boolean {
  const isHidden = process.isHiddenGateway === true && process.isMain === true;
  return gatewayOf(gateways, process)?.startsJobs ?? isHidden;
}

/** Whom nobody saw begin counts as the main program when what started it has no label. */
function isJobHost(process: TreeProcess, from: TreeDecision | undefined, gateways: Gateways): boolean {
  if (!isStarter(process, gateways)) return false;
  return process.isMain ?? (from?.clause === undefined || from.startsJobs);
}

function refusedBy(
  from: TreeDecision,
  jobsIn: string | undefined,
  process: TreeProcess,
  gateways: Gateways,
): string | undefined {
  if (jobsIn !== undefined) return isStarter(process, gateways) ? undefined : jobsIn;
  return from.refuses;
}

/** As far as can be seen: an interpreter shows by its arguments that it runs something else. */
function isWorker(child: TreeProcess, parent: TreeProcess): boolean {
  if (child.exe === undefined || child.exe !== parent.exe || child.metAtExec !== undefined) return false;
  return !isInterpreter(child.exe) || child.args.join('\0') === parent.args.join('\0');
}

/** Does the child meet a clause that ends at its parent only because it is a fork of it, as far as can be seen? */
function isMereFork(
  { clause, origin }: Decision,
  child: TreeProcess,
  above: readonly (ProgramClause | undefined)[],
  parent: TreeProcess,
): boolean {
  if (clause?.inherit !== 'none' || origin !== 'exec' || !above.includes(clause)) return false;
  return child.metAtExec !== clause.rank && child.exe === parent.exe && child.script === parent.script;
}
