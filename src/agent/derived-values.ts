import { join } from 'node:path';
import type { WireWorkload } from '../api/agent-stream.ts';
import type { HostReport } from '../api/host.ts';
import { asksProcesses, isOfProgram, SETS_PER_HOST, valuesOf } from '../core/derived-identity.ts';
import { type DerivedFact, type DerivedSet, labelsText } from '../core/match-derived.ts';
import type { MatchProgram, ProgramClause } from '../core/match-program.ts';
import type { DerivedAtExec } from './derived-at-exec.ts';
import { placesOf } from './derived-place.ts';
import type { DesiredState } from './desired-state.ts';
import type { LabelledProcess } from './endpoint.ts';
import { readJson, writeFileAtomic } from './state-file.ts';

const SAVED = 'derived-values.json';
/** What no process has had for so long is forgotten. */
const KEPT_MS = 3_600_000;
/** Ways in which processes of one workload are told, the one that was seen last is kept: a container is another cgroup each time. */
const WAYS_PER_WORKLOAD = 128;

/** One way to tell processes, and the labels that those have. */
interface Known {
  /** `namespace/name` */
  readonly workload: string;
  /** The clause and the `labelsFrom` of the registration that it was seen with, as text: with another it says nothing. */
  readonly source: string;
  readonly from: string;
  readonly exe?: string;
  readonly uid?: number;
  readonly cgroup?: string;
  readonly labels: readonly string[];
  /** ms since 1970 */
  seen: number;
}

export interface DerivedValuesContext {
  readonly stateDir: string;
  /** Undefined = not all is known yet. */
  readonly derivedOf: (member: LabelledProcess, labelsFrom: readonly string[]) => DerivedAtExec | undefined;
  readonly containerCgroup: (cgroup: string) => string | undefined;
  /** Sets are others than before. */
  readonly onChange: () => void;
  /** A process has not the name of its set, although the kernel knows it: it was told by what only user space knows. */
  readonly onStale: () => void;
  readonly log: (message: string) => void;
}

/**
 * What `labelsFrom` finds in the processes of this host: sets of values, and how the kernel tells who has them. On disk, so that
 * names do not change with a restart of the agent. The values are those of the process that gained the label, at its exec.
 */
export class DerivedValues {
  readonly #context: DerivedValuesContext;
  #known = new Map<string, Known>();
  #facts = new Map<number, { readonly startTicks: number; readonly fact: DerivedFact }>();
  /** By workload: sets for which there is no room. */
  #left = new Map<string, Set<string>>();
  readonly #tried = new Set<string>();
  #saving: Promise<void> = Promise.resolve();
  /** Another number, other sets. */
  version = 0;

  constructor(context: DerivedValuesContext) {
    this.#context = context;
    try {
      for (const known of readJson<Known[]>(context.stateDir, SAVED) ?? []) this.#known.set(keyOf(known), known);
    } catch (error) {
      context.log(`${(error as Error).message}: labelsFrom starts from what runs`);
    }
  }

  /** The sets of one registration; those of another text of it are none of it. */
  setsOf(workload: WireWorkload): DerivedSet[] {
    const ref = `${workload.namespace}/${workload.name}`;
    const from = JSON.stringify(workload.labelsFrom);
    const sources = workload.match.map((clause) => JSON.stringify(clause));
    const sets = new Map<string, DerivedSet & { cgroups?: string[] }>();
    for (const known of this.#known.values()) {
      const clause = known.workload === ref && known.from === from ? sources.indexOf(known.source) : -1;
      if (clause < 0) continue;
      const { exe, uid, cgroup, labels } = known;
      const key = JSON.stringify([clause, labels, exe, uid]);
      const rest = { ...(exe === undefined ? {} : { exe }), ...(uid === undefined ? {} : { uid }) };
      const set = sets.get(key) ?? { clause, labels, ...rest, ...(cgroup === undefined ? {} : { cgroups: [] }) };
      if (cgroup !== undefined) set.cgroups!.push(cgroup);
      sets.set(key, set);
    }
    for (const { cgroups } of sets.values()) cgroups?.sort();
    return [...sets.values()];
  }

  of(pid: number, startTicks: number): DerivedFact | undefined {
    const known = this.#facts.get(pid);
    return known?.startTicks === startTicks ? known.fact : undefined;
  }

  /** Its set is known, and has no identity in force yet. */
  isWaiting({ process, claim }: LabelledProcess): boolean {
    const fact = this.of(process.pid, process.startTicks);
    return fact !== undefined && fact.labels !== (claim?.derived ?? '') && !this.#hasNoRoom(fact);
  }

  /** Looks at who is labelled now. */
  observe(labelled: readonly LabelledProcess[], { workloads, uid }: DesiredState, program: MatchProgram): void {
    const now = Date.now();
    const facts = new Map<number, { startTicks: number; fact: DerivedFact }>();
    this.#left = new Map();
    let isNew = false;
    let isStale = false;
    for (const member of labelled) {
      const workload = workloads.get(member.workload);
      if (workload === undefined || !asksProcesses(workload.labelsFrom) || !isOwn(member)) continue;
      const seen = this.#read(member, workload, now);
      if (seen === undefined) continue;
      const { pid, startTicks } = member.process;
      const labels = labelsText(seen[0]!);
      facts.set(pid, { startTicks, fact: { workload: member.workload, clause: member.claim!.clause, labels } });
      for (const known of seen) if (this.#keep(known, now)) isNew = true;
      if (member.claim!.derived !== labels && this.#isFirstTry(member, labels, program)) isStale = true;
    }
    this.#facts = facts;
    for (const [key, known] of this.#known)
      if (known.seen < now - KEPT_MS || (uid !== '' && !workloads.has(known.workload))) {
        this.#known.delete(key);
        isNew = true;
      }
    if (isNew) this.#changed();
    else if (isStale) this.#context.onStale();
  }

  report(workloads: DesiredState['workloads']): NonNullable<HostReport['values']> {
    return [...workloads.values()].flatMap((workload) => {
      if (!asksProcesses(workload.labelsFrom)) return [];
      const ref = `${workload.namespace}/${workload.name}`;
      const sets = new Map(this.setsOf(workload).map((set) => [labelsText(set), [...set.labels]]));
      const left = this.#left.get(ref)?.size ?? 0;
      return sets.size + left === 0 ? [] : [{ workload: ref, sets: [...sets.values()], left }];
    });
  }

  /** Resolves when all is on disk. */
  flush(): Promise<void> {
    return this.#saving;
  }

  #read(member: LabelledProcess, workload: WireWorkload, now: number): Known[] | undefined {
    const { process, claim } = member;
    const { labelsFrom = [] } = workload;
    const found = this.#context.derivedOf(member, labelsFrom);
    // A clause that names no program says nothing of one.
    const asked = claim!.kind === 'exec' ? labelsFrom : labelsFrom.filter((name) => !isOfProgram(name));
    const labels = found === undefined ? [] : valuesOf(asked, found.labels);
    if (found === undefined || labels.length === 0) return undefined;
    const has = (...names: string[]): boolean => names.some((name) => labels.some((one) => one.startsWith(`${name}=`)));
    const known = {
      workload: member.workload,
      source: JSON.stringify(claim!.registered ?? claim!.source),
      from: JSON.stringify(labelsFrom),
      ...(has('process:exe', 'process:package') && process.exe !== undefined ? { exe: process.exe } : {}),
      ...(has('process:user') ? { uid: found.uid } : {}),
      labels,
      seen: now,
    };
    if (!labels.some((one) => !one.startsWith('process:'))) return [known];
    const places = placesOf(claim!, process.cgroup, this.#context.containerCgroup(process.cgroup));
    return places.length === 0 ? undefined : places.map((cgroup) => ({ ...known, cgroup }));
  }

  /** True if something is known now that was not. */
  #keep(known: Known, now: number): boolean {
    const key = keyOf(known);
    const before = this.#known.get(key);
    const isSame = before !== undefined && labelsText(before) === labelsText(known);
    if (!isSame && !this.#makeRoom(known, now)) return false;
    this.#known.delete(key);
    this.#known.set(key, known);
    return !isSame;
  }

  #makeRoom(known: Known, now: number): boolean {
    const own = [...this.#known.values()].filter(({ workload }) => workload === known.workload);
    const sets = Map.groupBy(own, labelsText);
    const isSet = sets.has(labelsText(known));
    if (isSet && own.length < WAYS_PER_WORKLOAD) return true;
    if (!isSet && sets.size < SETS_PER_HOST && own.length < WAYS_PER_WORKLOAD) return true;
    // Whom nobody has any more makes room, the one that was seen longest ago first.
    const oldest = (isSet ? own.map((one) => [one]) : [...sets.values()])
      .filter((list) => list.every(({ seen }) => seen < now))
      .sort((a, b) => Math.max(...a.map(({ seen }) => seen)) - Math.max(...b.map(({ seen }) => seen)))[0];
    for (const one of oldest ?? []) this.#known.delete(keyOf(one));
    if (oldest !== undefined) return true;
    const left = this.#left.get(known.workload) ?? new Set();
    this.#left.set(known.workload, left.add(labelsText(known)));
    return false;
  }

  #hasNoRoom({ workload, labels }: DerivedFact): boolean {
    return this.#left.get(workload)?.has(labels) ?? false;
  }

  /** Once for each process: what does not help the first time does not help the second. */
  #isFirstTry({ process, workload, claim }: LabelledProcess, labels: string, program: MatchProgram): boolean {
    const isIt = (other: ProgramClause): boolean =>
      other.workload === workload && other.clause === claim!.clause && other.derived === labels;
    if (!program.clauses.some(isIt) && !program.late.some(isIt)) return false;
    const key = `${process.pid} ${process.startTicks} ${labels}`;
    if (this.#tried.has(key)) return false;
    if (this.#tried.size > 10_000) this.#tried.clear();
    this.#tried.add(key);
    return true;
  }

  #changed(): void {
    this.version++;
    const { stateDir, log, onChange } = this.#context;
    const text = JSON.stringify([...this.#known.values()]);
    this.#saving = this.#saving
      .then(() => writeFileAtomic(join(stateDir, SAVED), text))
      .catch((error: Error) => log(`values of labelsFrom are not kept on disk: ${error.message}`));
    onChange();
  }
}

/** It gained the label itself; a port says nothing of who listens there. */
function isOwn({ process, gainedBy, origin, claim }: LabelledProcess): boolean {
  if (claim === undefined || claim.listen !== undefined) return false;
  return origin === claim.kind && (origin === 'cgroup' || process.pid === gainedBy);
}

function keyOf({ workload, source, from, exe, uid, cgroup }: Known): string {
  return JSON.stringify([workload, source, from, exe, uid, cgroup]);
}
