import { existsSync, readFileSync } from 'node:fs';
import { cgroupChain } from '../core/match-clause.ts';
import type { Container } from '../core/match-place.ts';
import { type ContainerRuntime, createContainerRuntime } from './container-runtime.ts';
import { parseCgroup } from './process-scan.ts';

/** A runtime that is not there is looked for again after 1 s, 2 s … 30 s. */
const RETRY_MS = { first: 1_000, most: 30_000 } as const;

/**
 * The containers that run on this host, told by Docker and Podman over their sockets. Everything here is asynchronous:
 * a runtime that hangs, or is not there, holds nothing up. What was known stays known while a runtime is away.
 */
export class Containers {
  readonly #onChange: () => void;
  readonly #log: (message: string) => void;
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
    if (!existsSync(socket)) return this.#later(socket, retryMs);
    const runtime = createContainerRuntime(socket);
    this.#runtimes.add(runtime);
    let answered = false;
    const refresh = coalesce(async () => {
      const now = await this.#look(runtime, this.#known.get(socket) ?? new Map());
      if (!answered) this.#log(`containers: ${socket} answers, ${now.size} running`);
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
  async #look(runtime: ContainerRuntime, known: ReadonlyMap<string, Container>): Promise<Map<string, Container>> {
    const found = new Map<string, Container>();
    for (const listed of await runtime.list()) {
      const cgroup = known.get(listed.id)?.cgroup ?? cgroupOf(await runtime.pidOf(listed.id), listed.id);
      if (cgroup !== undefined) found.set(listed.id, { ...listed, cgroup });
    }
    return found;
  }
}

/** The cgroup whose name has the id in it, else that of the first process (an init may have made cgroups below). */
function cgroupOf(pid: number | undefined, id: string): string | undefined {
  if (pid === undefined) return undefined;
  try {
    const parts = parseCgroup(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))
      .split('/')
      .filter(Boolean);
    const at = parts.findIndex((part) => part.includes(id));
    return parts.length === 0 ? undefined : parts.slice(0, at < 0 ? parts.length : at + 1).join('/');
  } catch {
    return undefined; // ended meanwhile
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
