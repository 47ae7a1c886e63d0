import { createHash } from 'node:crypto';
import { isInterpreter, isJava } from '../core/interpreter.ts';
import type { HostProcess } from './process-scan.ts';

/** What a workload's processes looked like where they belong. Arguments are kept as hashes: there may be secrets in them. */
export interface Look {
  readonly exe: string;
  readonly script: string;
  readonly uid: number;
  readonly args: readonly string[];
}

/** As it is kept on disk. */
export type SavedLooks = Readonly<Record<string, readonly Look[]>>;

const PER_WORKLOAD = 4;
const SEEN_KEPT = 20_000;
const ARGS = 32;

/** Looks of each workload, newest last, at most four. */
export class Looks {
  readonly #of = new Map<string, Look[]>();
  /** By executable, so that most processes are not looked at. */
  #byExe: ReadonlyMap<string, readonly { readonly workload: string; readonly look: Look }[]> | undefined;
  /** Processes that were learnt from: every report brings them again. */
  #seen = new Set<string>();
  #changed = false;

  constructor(saved: SavedLooks = {}) {
    for (const [workload, looks] of Object.entries(saved)) this.#of.set(workload, [...looks]);
  }

  /** Whether something was learnt since it was asked last. */
  takeChanged(): boolean {
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  saved(): SavedLooks {
    return Object.fromEntries(this.#of);
  }

  learn(workload: string, process: HostProcess): void {
    const name = `${workload} ${process.pid} ${process.startTicks}`;
    if (this.#seen.has(name)) return;
    if (this.#seen.size >= SEEN_KEPT) this.#seen = new Set();
    this.#seen.add(name);
    const look = toLook(process);
    if (look === undefined) return;
    const known = this.#of.get(workload) ?? [];
    if (known.some((other) => sameLook(other, look))) return;
    this.#of.set(workload, [...known, look].slice(-PER_WORKLOAD));
    this.#touch();
  }

  forget(isWanted: (workload: string) => boolean): void {
    for (const workload of this.#of.keys()) {
      if (isWanted(workload)) continue;
      this.#of.delete(workload);
      this.#touch();
    }
  }

  /** The workload that this process looks like, more than like any other; undefined = none, or several alike. */
  like(process: HostProcess): string | undefined {
    this.#byExe ??= this.#index();
    const known = this.#byExe.get(process.exe ?? '');
    const look = known && toLook(process);
    if (known === undefined || look === undefined) return undefined;
    const scores = new Map<string, number>();
    for (const { workload, look: other } of known)
      scores.set(workload, Math.max(scores.get(workload) ?? 0, likeness(other, look)));
    const best = [...scores].filter(([, score]) => score > 0).sort((a, b) => b[1] - a[1]);
    return best.length > 1 && best[1]![1] === best[0]![1] ? undefined : best[0]?.[0];
  }

  #touch(): void {
    this.#byExe = undefined;
    this.#changed = true;
  }

  #index() {
    const all = [...this.#of].flatMap(([workload, looks]) => looks.map((look) => ({ workload, look })));
    return Map.groupBy(all, ({ look }) => look.exe);
  }
}

function toLook(process: HostProcess): Look | undefined {
  if (process.exe === undefined || !process.isHostPath) return undefined;
  const args = process.args
    .slice(1, 1 + ARGS)
    .map((arg) => createHash('sha256').update(arg).digest('hex').slice(0, 12));
  return { exe: process.exe, script: process.script ?? '', uid: process.uid, args };
}

function sameLook(a: Look, b: Look): boolean {
  return a.exe === b.exe && a.script === b.script && a.uid === b.uid && a.args.join() === b.args.join();
}

/**
 * 0 = another program. Executable, script and user must be the same, and half of the arguments; two thirds where the
 * executable is an interpreter whose script is not known.
 */
function likeness(known: Look, look: Look): number {
  if (known.exe !== look.exe || known.script !== look.script || known.uid !== look.uid) return 0;
  const isVague = look.script === '' && (isInterpreter(look.exe) || isJava(look.exe));
  const most = Math.max(known.args.length, look.args.length);
  if (most === 0) return isVague ? 0 : 1;
  const own = new Set(known.args);
  const shared = look.args.filter((arg) => own.has(arg)).length;
  return shared / most >= (isVague ? 2 / 3 : 1 / 2) ? 1 + shared : 0;
}
