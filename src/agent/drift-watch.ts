import { join } from 'node:path';
import type { Drift } from '../api/drift.ts';
import type { Flow } from '../api/flow.ts';
import type { Gateways } from '../core/gateways.ts';
import { type ExecEvent, LabelOrigin } from '../datapath/postern.skel.ts';
import { type DriftInput, findDrifts } from './drift.ts';
import { Lineage } from './lineage.ts';
import { Looks, type SavedLooks } from './looks.ts';
import { readJson, writeFileAtomic } from './state-file.ts';

const LOOKS_FILE = 'agent-looks.json';

/** Remembers what workloads look like, over restarts too, and says each drift once as an event. */
export class DriftWatch {
  readonly #stateDir: string;
  readonly #gateways: Gateways;
  readonly #onEvent: (flow: Flow) => void;
  readonly #log: (message: string) => void;
  readonly #looks: Looks;
  readonly #lineage: Lineage;
  #said = new Set<string>();
  #saving: Promise<void> = Promise.resolve();

  constructor(stateDir: string, gateways: Gateways, onEvent: (flow: Flow) => void, log: (message: string) => void) {
    this.#stateDir = stateDir;
    this.#gateways = gateways;
    this.#onEvent = onEvent;
    this.#log = log;
    this.#looks = new Looks(this.#load());
    this.#lineage = new Lineage(gateways);
  }

  /** @param exe resolved @param workload whose label it has */
  exec({ tgid, ppid, origin }: ExecEvent, exe: string, cgroup: string, workload: string | undefined): void {
    this.#lineage.exec(tgid, ppid, exe, cgroup, origin === LabelOrigin.ORIGIN_CGROUP ? workload : undefined);
  }

  find(seen: Omit<DriftInput, 'looks' | 'lineage' | 'gateways'>): Drift[] {
    const drifts = findDrifts({ ...seen, looks: this.#looks, lineage: this.#lineage, gateways: this.#gateways });
    const keys = new Map(drifts.map((drift) => [`${drift.workload} ${drift.process.pid}`, drift]));
    for (const [key, drift] of keys) if (!this.#said.has(key)) this.#onEvent(toEvent(drift));
    this.#said = new Set(keys.keys());
    if (this.#looks.takeChanged()) this.#save();
    return drifts;
  }

  /** Resolves when what was learnt is on the disk. */
  stop(): Promise<void> {
    return this.#saving;
  }

  #save(): void {
    const text = JSON.stringify(this.#looks.saved());
    this.#saving = this.#saving
      .then(() => writeFileAtomic(join(this.#stateDir, LOOKS_FILE), text))
      .catch((error) => this.#log(`looks of workloads are not on the disk: ${(error as Error).message}`));
  }

  #load(): SavedLooks {
    try {
      return readJson<SavedLooks>(this.#stateDir, LOOKS_FILE) ?? {};
    } catch (error) {
      this.#log(`${(error as Error).message}: drift is told from what is seen from now on`);
      return {};
    }
  }
}

function toEvent({ workload, host, process, cgroup, expected, named, clause, command }: Drift): Flow {
  const where = `runs in ${cgroup}, outside of ${expected.join(', ')}`;
  const what = named ? `named there by ${JSON.stringify(clause)}` : `not named there; this would: ${command}`;
  const { pid, exe, user } = process;
  return {
    time: new Date().toISOString(),
    event: 'drift',
    host,
    source: { workload, host, process: { pid, exe, ...(user === undefined ? {} : { user }) } },
    detail: `${where}; ${what}`,
  };
}
