import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { WireIdentity, WireWorkload } from '../api/agent-stream.ts';
import type { HostIdentities, HostWorkload, WorkloadFile } from '../api/host-workload.ts';
import { type DesiredState, workloadKey } from './desired-state.ts';
import { readJson, writeFileAtomic } from './state-file.ts';
import { readWorkloadFile } from './workload-file.ts';

const SAVED = 'workload-files.json';
const MAX_BYTES = 1024 * 1024;

/** What is kept of one file. */
interface Known {
  /** Of the file as it was read last. */
  readonly version: string;
  /** Of its last good text. */
  readonly workloads: readonly HostWorkload[];
  readonly problems: readonly string[];
}

interface Saved {
  readonly files: readonly (readonly [string, Known])[];
  readonly named: readonly WireWorkload[];
  readonly identities: readonly WireIdentity[];
}

export interface FilesWiring {
  readonly dir: string;
  readonly stateDir: string;
  /** PUT …/workloads of the control plane; rejects while it is away or when it refuses. */
  readonly send: (workloads: readonly HostWorkload[]) => Promise<HostIdentities>;
  /** Registrations or identities are others than before. */
  readonly onChange: () => void;
  readonly log: (message: string) => void;
}

/**
 * Registrations of this host from `workloads.d`, beside those of the control plane. A name that the control plane has too is
 * the control plane's. A bad file keeps its last good text. Identities come from the control plane: without it, what has one
 * keeps it, also with another `match`; what is new, or has new labels, waits as it was.
 */
export class WorkloadFiles {
  readonly #wiring: FilesWiring;
  #files = new Map<string, Known>();
  /** As the control plane answered last, by `namespace/name`. */
  #named = new Map<string, WireWorkload>();
  #identities = new Map<number, WireIdentity>();
  #sent = '';
  #refused: string | undefined;
  #isSending = false;
  #saving: Promise<void> = Promise.resolve();
  #merged: { of: DesiredState; named: unknown; state: DesiredState } | undefined;

  constructor(wiring: FilesWiring) {
    this.#wiring = wiring;
    try {
      const saved = readJson<Saved>(wiring.stateDir, SAVED);
      this.#files = new Map(saved?.files ?? []);
      this.#named = new Map(saved?.named.map((workload) => [workloadKey(workload), workload]) ?? []);
      this.#identities = new Map(saved?.identities.map((identity) => [identity.id, identity]) ?? []);
    } catch (error) {
      wiring.log(`${(error as Error).message}: starting from the files`);
    }
  }

  /** Reads what changed since the last look, and tells the control plane, again if it did not take it. */
  look(): void {
    const { dir } = this.#wiring;
    const found = new Set<string>();
    let changed = false;
    for (const name of listFiles(dir)) {
      const file = join(dir, name);
      const version = versionOf(file);
      if (version === undefined) continue;
      found.add(file);
      const before = this.#files.get(file);
      if (before?.version === version) continue;
      this.#files.set(file, this.#read(file, version, before));
      changed = true;
    }
    for (const file of [...this.#files.keys()])
      if (!found.has(file)) {
        this.#files.delete(file);
        changed = true;
      }
    if (changed) this.#changed();
    if (changed) this.#save();
    void this.#send();
  }

  /** The control plane may have forgotten, or be another one. */
  sendAgain(): void {
    this.#sent = '';
    void this.#send();
  }

  /** The same object again as long as neither changed. */
  mergedInto(state: DesiredState): DesiredState {
    if (this.#named.size === 0) return state;
    const known = this.#merged;
    if (known !== undefined && known.named === this.#named && isSame(known.of, state)) {
      if (known.of === state) return known.state;
      const { workloads, identities } = known.state;
      const next = { ...state, workloads, identities };
      this.#merged = { ...known, of: state, state: next };
      return next;
    }
    const workloads = new Map([...this.#named, ...state.workloads]);
    const identities = new Map([...this.#identities, ...state.identities]);
    this.#merged = { of: state, named: this.#named, state: { ...state, workloads, identities } };
    return this.#merged.state;
  }

  /** Resolves when all is on disk. */
  flush(): Promise<void> {
    return this.#saving;
  }

  report(state: DesiredState): WorkloadFile[] {
    const all = [...this.#files].sort(([a], [b]) => (a < b ? -1 : 1));
    return all.map(([file, { workloads, problems }]) => {
      const refs = workloads.map(workloadKey);
      const isHere = (ref: string) => this.#named.has(ref) && this.#wantedFile(ref) === file;
      const twice = refs.filter((ref) => this.#wantedFile(ref) !== file);
      return {
        file,
        workloads: refs,
        problems: [
          ...problems,
          ...twice.map((ref) => `${ref} is in ${this.#wantedFile(ref)} too, which comes first`),
          ...(this.#refused === undefined ? [] : [this.#refused]),
        ],
        conflicts: refs.filter((ref) => state.workloads.has(ref)),
        waiting: refs.filter((ref) => !isHere(ref) && !twice.includes(ref) && !state.workloads.has(ref)),
      };
    });
  }

  #read(file: string, version: string, before: Known | undefined): Known {
    const read = readText(file);
    const result = typeof read === 'string' ? readWorkloadFile(file, read) : ({ ok: false, ...read } as const);
    if (result.ok) return { version, workloads: result.workloads, problems: [] };
    for (const problem of result.problems) this.#wiring.log(`${file}: ${problem}`);
    return { version, workloads: before?.workloads ?? [], problems: result.problems };
  }

  /** One of each name: the first by file. */
  #wanted(): HostWorkload[] {
    const wanted = new Map<string, HostWorkload>();
    for (const file of [...this.#files.keys()].sort())
      for (const workload of this.#files.get(file)!.workloads) {
        const key = workloadKey(workload);
        if (!wanted.has(key)) wanted.set(key, workload);
      }
    return [...wanted.values()];
  }

  #wantedFile(ref: string): string | undefined {
    const files = [...this.#files.keys()].sort();
    return files.find((file) => this.#files.get(file)!.workloads.some((workload) => workloadKey(workload) === ref));
  }

  /** What needs no new identity is in force at once, also while the control plane is away. */
  #changed(): void {
    const next = new Map<string, WireWorkload>();
    for (const { file: _file, ...workload } of this.#wanted()) {
      const known = this.#named.get(workloadKey(workload));
      if (known === undefined) continue;
      const { identity, createdRevision } = known;
      const keeps = JSON.stringify([known.labels, known.ports]) === JSON.stringify([workload.labels, workload.ports]);
      next.set(workloadKey(workload), keeps ? { ...workload, identity, createdRevision } : known);
    }
    this.#take(next, this.#identities);
  }

  async #send(): Promise<void> {
    const wanted = this.#wanted();
    const text = JSON.stringify(wanted);
    if (this.#isSending || text === this.#sent) return;
    this.#isSending = true;
    try {
      const { items, identities } = await this.#wiring.send(wanted);
      this.#sent = text;
      this.#refused = undefined;
      const named = new Map<string, WireWorkload>();
      for (const { file: _file, ...workload } of wanted) {
        const item = items.find((one) => workloadKey(one) === workloadKey(workload));
        if (item !== undefined) named.set(workloadKey(workload), { ...workload, ...item });
      }
      this.#take(named, new Map(identities.map((identity) => [identity.id, identity])));
    } catch (error) {
      const { message } = error as Error;
      const isRefused = /: 4\d\d /.test(message);
      if (isRefused && this.#refused === undefined) this.#wiring.log(`files of workloads: ${message}`);
      this.#refused = isRefused ? message : undefined;
      if (isRefused) this.#sent = text; // until a file changes, or the control plane comes back
    }
    this.#isSending = false;
  }

  #save(): void {
    const { stateDir, log } = this.#wiring;
    const saved: Saved = {
      files: [...this.#files],
      named: [...this.#named.values()],
      identities: [...this.#identities.values()],
    };
    this.#saving = this.#saving
      .then(() => writeFileAtomic(join(stateDir, SAVED), JSON.stringify(saved)))
      .catch((error: Error) => log(`files of workloads are not kept on disk: ${error.message}`));
  }

  #take(named: ReadonlyMap<string, WireWorkload>, identities: ReadonlyMap<number, WireIdentity>): void {
    const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
    const isNew = !same([...this.#named], [...named]) || !same([...this.#identities], [...identities]);
    if (isNew) this.#named = new Map(named);
    if (isNew) this.#identities = new Map(identities);
    if (isNew) this.#save();
    if (isNew) this.#wiring.onChange();
  }
}

function isSame(a: DesiredState, b: DesiredState): boolean {
  return a.workloads === b.workloads && a.identities === b.identities;
}

function listFiles(dir: string): string[] {
  try {
    return readdirSync(dir)
      .filter((name) => /^[^.].*\.(ya?ml|json)$/.test(name))
      .sort();
  } catch {
    return [];
  }
}

/** Undefined = it is gone, or no file. */
function versionOf(file: string): string | undefined {
  const stat = statSync(file, { throwIfNoEntry: false });
  return stat?.isFile() ? `${stat.ino}-${stat.size}-${stat.mtimeMs}` : undefined;
}

function readText(file: string): string | { problems: readonly string[] } {
  try {
    const { size } = statSync(file);
    if (size > MAX_BYTES) return { problems: [`${size} bytes: at most ${MAX_BYTES}`] };
    return readFileSync(file, 'utf8');
  } catch (error) {
    return { problems: [`cannot be read: ${(error as Error).message}`] };
  }
}
