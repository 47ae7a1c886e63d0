import { LISTENING, type NamedPort, samePorts } from '../core/named-port.ts';
import type { DatapathMaps } from '../datapath/maps.ts';
import type { DesiredState } from './desired-state.ts';

/** A port that is no longer listened on keeps its name so long: connections are drained, programs restarted. */
const GRACE_MS = 30_000;

/**
 * What the identities with a port named `listening` listen on, on this host: the kernel's own table of listeners, so
 * also what was bound before the agent. UDP ports in `ephemeral` are a client's.
 */
export class ListeningPorts {
  readonly #maps: DatapathMaps;
  readonly #ephemeral: readonly [from: number, to: number];
  #of = new Map<number, Map<string, { readonly port: NamedPort; seen: number }>>();
  #identities: ReadonlySet<number> = new Set();
  #state: DesiredState['identities'] | undefined;

  constructor(maps: DatapathMaps, ephemeral: readonly [from: number, to: number]) {
    this.#maps = maps;
    this.#ephemeral = ephemeral;
  }

  /** Sorted; empty for an identity that has no such port. */
  of(identity: number): readonly NamedPort[] {
    return [...(this.#of.get(identity)?.values() ?? [])]
      .map(({ port }) => port)
      .sort((a, b) => a.port - b.port || (a.protocol < b.protocol ? -1 : 1));
  }

  /** Looks again; returns the identities whose ports have changed. Nothing is read when no registration asks. */
  refresh({ identities }: DesiredState, nowMs = performance.now()): Set<number> {
    if (identities !== this.#state) {
      const asking = [...identities.values()].filter(({ ports }) => Object.values(ports ?? {}).includes(LISTENING));
      this.#identities = new Set(asking.map(({ id }) => id));
      this.#state = identities;
    }
    const before = new Map([...this.#of.keys()].map((id) => [id, this.of(id)]));
    for (const id of this.#of.keys()) if (!this.#identities.has(id)) this.#of.delete(id);
    if (this.#identities.size > 0) this.#read(nowMs);
    const changed = [...this.#identities].filter((id) => !samePorts({ l: before.get(id) ?? [] }, { l: this.of(id) }));
    return new Set(changed);
  }

  #read(nowMs: number): void {
    for (const [{ port, protocol }, { identity }] of this.#maps.local.entriesBatch()) {
      const isClient = protocol === 17 && port >= this.#ephemeral[0] && port <= this.#ephemeral[1];
      if (!this.#identities.has(identity) || isClient || (protocol !== 6 && protocol !== 17)) continue;
      const ports = this.#of.get(identity) ?? new Map();
      const name = protocol === 6 ? 'TCP' : 'UDP';
      ports.set(`${port}/${name}`, { port: { port, protocol: name }, seen: nowMs });
      this.#of.set(identity, ports);
    }
    for (const ports of this.#of.values())
      for (const [key, { seen }] of ports) if (nowMs - seen > GRACE_MS) ports.delete(key);
  }
}
