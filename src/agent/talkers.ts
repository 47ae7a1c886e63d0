import type { Discovered } from '../api/discover.ts';
import type { Flow, FlowEnd } from '../api/flow.ts';

/** Programs without a name that begin conversations; the longest silent goes first. */
const MAX_TALKERS = 1000;
const MAX_PEERS = 16;
const FORGET_MS = 24 * 3600_000;

/** One program (executable, user, unit), however many processes it was. */
export interface Talker {
  /** The newest of its processes. */
  readonly pid: number;
  readonly exe: string;
  readonly user?: string;
  readonly unit?: string;
  /** Newest first: `shop/backend:6379/TCP`, `198.51.100.9:443/TCP`. */
  readonly talksTo: readonly string[];
  /** RFC 3339 UTC. */
  readonly lastSeen: string;
}

type About = {
  readonly exe?: string | undefined;
  readonly user?: string | undefined;
  readonly unit?: string | undefined;
};

/** Who talks without having a name, told by the flows of this host since the agent runs. */
export class Talkers {
  readonly #known = new Map<string, Talker>();

  /** True when somebody new talks. */
  push({ event, source, destination, protocol, time }: Flow): boolean {
    const process = source?.process;
    if (process === undefined || destination === undefined || event === 'accept' || event === 'close') return false;
    const key = keyOf(process);
    const before = this.#known.get(key);
    this.#known.delete(key);
    if (source?.workload !== undefined || process.exe === undefined) return false;
    const peer = peerText(destination, protocol ?? '');
    const talksTo = [peer, ...(before?.talksTo ?? []).filter((other) => other !== peer)].slice(0, MAX_PEERS);
    const { pid, exe, user, unit } = process;
    const about = { ...(user === undefined ? {} : { user }), ...(unit === undefined ? {} : { unit }) };
    this.#known.set(key, { pid, exe, ...about, talksTo, lastSeen: time });
    if (this.#known.size > MAX_TALKERS) this.#known.delete(this.#known.keys().next().value!);
    return before === undefined;
  }

  /** The newest first. */
  list(nowMs = Date.now()): Talker[] {
    return [...this.#known.values()].filter(({ lastSeen }) => nowMs - Date.parse(lastSeen) < FORGET_MS).reverse();
  }

  talksTo(process: About): NonNullable<Discovered['talksTo']> {
    return [...(this.#known.get(keyOf(process))?.talksTo ?? [])];
  }
}

function keyOf({ exe, user, unit }: About): string {
  return `${unit ?? ''} ${user ?? ''} ${exe ?? ''}`;
}

function peerText({ workload, ip, port }: FlowEnd, protocol: string): string {
  const name = workload ?? (ip?.includes(':') ? `[${ip}]` : ip) ?? '?';
  return port ? `${name}:${port}/${protocol}` : `${name}/${protocol}`;
}
