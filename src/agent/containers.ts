import { statSync } from 'node:fs';
import { cgroupChain } from '../core/match-clause.ts';
import type { Container } from '../core/match-place.ts';
import { containerCgroup } from './container-cgroup.ts';
import { type ContainerRuntime, createContainerRuntime, type ListedContainer } from './container-runtime.ts';
import { findCgroupMount } from './preflight.ts';

/** A runtime that is not there is looked for again after 1 s, 2 s … 30 s. */
const RETRY_MS = { first: 1_000, most: 30_000 } as const;

/**
 * The containers that run on this host, told by Docker and Podman over their sockets. Everything here is asynchronous:
 * a runtime that hangs, or is not there, holds nothing up. What was known stays known while a runtime is away.
 */
export class Containers {
  readonly #onChange: () => void;
  readonly #log: (message: string) => void;
  readonly #mount = findCgroupMount();
  readonly #known = new Map<string, ReadonlyMap<string, Container>>();
  #byCgroup: ReadonlyMap<string, Container> = new Map();
  readonly #runtimes = new Set<ContainerRuntime>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #stopped = false;

  constructor(sockets: readonly string[], onChange: () => void, log: (message: string) => void) {
    this.#onChange = onChange;
    this.#log = log;
    for (const socket of sockets) this.#follow(socket, RETRY_MS.first);
  }

  /** Sorted by cgroup; undefined = no runtime has answered. */
  list(): readonly Container[] | undefined {
    if (this.#known.size === 0) return undefined;
    const all = [...this.#known.values()].flatMap((one) => [...one.values()]);
    return all.sort((a, b) => (a.cgroup < b.cgroup ? -1 : 1));
  }

  /** The container in which a cgroup is. */
  of(cgroup: string): Container | undefined {
    if (this.#byCgroup.size === 0) return undefined;
    return cgroupChain(cgroup)
      .map((path) => this.#byCgroup.get(path))
      .find((container) => container !== undefined);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    for (const runtime of this.#runtimes) runtime.close();
  }

  #follow(socket: string, retryMs: number): void {
    const owner = statSync(socket, { throwIfNoEntry: false })?.uid;
    if (owner === undefined) return this.#later(socket, retryMs);
    const runtime = createContainerRuntime(socket);
    this.#runtimes.add(runtime);
    let answered = false;
    const unnamed = new Set<string>();
    const refresh = coalesce(async () => {
      const now = await this.#look(runtime, owner, this.#known.get(socket) ?? new Map(), unnamed);
      const whose = owner === 0 ? '' : `; uid ${owner} names them as it likes`;
      if (!answered) this.#log(`containers: ${socket} answers, ${now.size} running${whose}`);
      answered = true;
      const before = this.#known.get(socket);
      this.#known.set(socket, now);
      this.#byCgroup = new Map(this.list()!.map((container) => [container.cgroup, container]));
      if (before === undefined || JSON.stringify([...before]) !== JSON.stringify([...now])) this.#onChange();
    });
    const ended = (error?: unknown): void => {
      if (!this.#runtimes.delete(runtime)) return;
      runtime.close();
      if (answered && !this.#stopped)
        this.#log(`containers: ${socket} is away${error instanceof Error ? `: ${error.message}` : ''}; trying again`);
      this.#later(socket, answered ? RETRY_MS.first : retryMs);
    };
    runtime.watch(() => refresh().catch(ended)).then(() => ended(), ended);
    refresh().catch(ended);
  }

  #later(socket: string, retryMs: number): void {
    if (this.#stopped) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#follow(socket, Math.min(2 * retryMs, RETRY_MS.most));
    }, retryMs).unref();
    this.#timers.add(timer);
  }

  /** Only who is new is asked for its process. */
  async #look(
    runtime: ContainerRuntime,
    owner: number,
    known: ReadonlyMap<string, Container>,
    unnamed: Set<string>,
  ): Promise<Map<string, Container>> {
    const found = new Map<string, Container>();
    const listed = await runtime.list();
    for (const one of listed) {
      const cgroup = known.get(one.id)?.cgroup ?? (await this.#cgroupOf(runtime, one, owner, unnamed));
      if (cgroup !== undefined) found.set(one.id, { ...one, cgroup });
    }
    for (const id of unnamed) if (!listed.some((one) => one.id === id)) unnamed.delete(id);
    return found;
  }

  /** @param unnamed who runs without a cgroup of its own: looked for once, and said */
  async #cgroupOf(
    runtime: ContainerRuntime,
    { id, name }: ListedContainer,
    owner: number,
    unnamed: Set<string>,
  ): Promise<string | undefined> {
    if (this.#mount === undefined || unnamed.has(id)) return undefined;
    const pid = await runtime.pidOf(id);
    const cgroup = await containerCgroup(this.#mount, id, pid, owner);
    // it may have ended meanwhile, and started again under the same id
    if (cgroup === undefined && pid !== undefined && (await runtime.pidOf(id)) === pid) {
      unnamed.add(id);
      const whose = owner === 0 ? '' : ` that is of uid ${owner}`;
      this.#log(`containers: ${name} has no cgroup of its own${whose}: it cannot be matched`);
    }
    return cgroup;
  }
}

/** One at a time; what is asked for meanwhile is done once more. */
function coalesce(run: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  let again = false;
  const start = async (): Promise<void> => {
    do {
      again = false;
      await run();
    } while (again);
  };
  return () => {
    again = true;
    running ??= start().finally(() => {
      running = undefined;
    });
    return running;
  };
}
