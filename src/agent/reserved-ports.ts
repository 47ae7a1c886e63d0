import { mkdirSync, readFileSync, readlinkSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { selectsHost } from '../core/host-selector.ts';
import { parseListen } from '../core/match-listen.ts';
import type { RegisteredWorkload } from '../core/match-program.ts';
import {
  joinPorts,
  type PortList,
  type PortSpan,
  parsePortList,
  portListText,
  portsToReserve,
  withoutPorts,
} from '../core/port-list.ts';
import type { Kernel } from '../datapath/kernel.ts';
import type { DesiredState } from './desired-state.ts';
import { type NetworkNamespaces, visitNamespaces } from './network-namespaces.ts';
import type { AgentOptions } from './options.ts';
import { bootId } from './run-pin.ts';
import { readJson } from './state-file.ts';

const FILE = 'reserved-ports.json';
const SYSCTL = '/proc/sys/net/ipv4/ip_local_reserved_ports';
const RANGE = '/proc/sys/net/ipv4/ip_local_port_range';
const KEPT_MAX = 1024;

/** What stands in a namespace because of us. */
interface Reserved {
  /** What was there without us: the operator's. */
  readonly operator: string;
  /** What we wrote: the operator's and ours. */
  readonly written: string;
}

interface Kept {
  /** The kernel forgets with the boot. */
  readonly boot: string;
  /** By cookie of the network namespace. */
  readonly namespaces: Record<string, Reserved>;
}

type Options = Pick<AgentOptions, 'stateDir' | 'hostLabels' | 'reservePorts' | 'log'>;

/**
 * Keeps the ports that registrations own (`listen`) out of the ephemeral range: no connect() or unbound send of anybody gets
 * one by chance (net.ipv4.ip_local_reserved_ports; an explicit bind is judged by bpf/socket.bpf.c).
 *
 * 1. In the agent's own namespace, and in each other one in which a workload lives; the sysctl of a namespace is seen from inside.
 * 2. What the operator wrote stays: ours is added to it, and taken back alone. Whatever else is found there than what we
 *    wrote last is the operator's from then on, ours among it.
 * 3. What was there is on disk before it is changed, so that `detach` can put it back without an agent.
 * 4. At least half of the ephemeral range stays for connections; what does not fit is told.
 */
export class ReservedPorts {
  readonly #options: Options;
  readonly #netns: NetworkNamespaces;
  readonly #kernel: Kernel;
  readonly #applied: () => DesiredState;
  #kept: Kept;
  #wanted: { readonly of: DesiredState['workloads'] | undefined; readonly spans: readonly PortSpan[] };
  #told = '';

  constructor(options: Options, netns: NetworkNamespaces, kernel: Kernel, applied: () => DesiredState) {
    this.#options = options;
    this.#netns = netns;
    this.#kernel = kernel;
    this.#applied = applied;
    this.#kept = load(options.stateDir);
    this.#wanted = { of: undefined, spans: [] };
  }

  /** Brings every namespace to what is registered now. */
  look(): void {
    const { workloads } = this.#applied();
    if (workloads !== this.#wanted.of) this.#wanted = { of: workloads, spans: this.#spans(workloads) };
    const { spans } = this.#wanted;
    if (spans.length === 0 && Object.keys(this.#kept.namespaces).length === 0) return;
    const homes = spans.length === 0 ? new Set() : this.#homes();
    let isOwn = true;
    this.#netns.each((cookie) => {
      this.#reconcile(cookie, isOwn || homes.has(readlinkSync('/proc/thread-self/ns/net')) ? spans : []);
      isOwn = false;
    });
  }

  #spans(workloads: DesiredState['workloads']): PortSpan[] {
    if (this.#options.reservePorts === 'off') return [];
    const here = [...workloads.values()].filter(({ hosts }) => selectsHost(hosts, this.#options.hostLabels));
    return (here as RegisteredWorkload[])
      .flatMap(({ match }) => match.flatMap(({ listen = [] }) => listen))
      .map((text) => parseListen(text))
      .flatMap((parsed) => (parsed.ok ? [{ from: parsed.value.from, to: parsed.value.to }] : []));
  }

  /** Where workloads live: "net:[…]". */
  #homes(): ReadonlySet<string> {
    const homes = new Set<string>();
    for (const [pid, { identity }] of this.#kernel.maps.proc.entries())
      if (identity !== 0)
        try {
          homes.add(readlinkSync(`/proc/${pid}/ns/net`));
        } catch {
          // ended
        }
    return homes;
  }

  /** In the calling thread's namespace. */
  #reconcile(cookie: number, spans: readonly PortSpan[]): void {
    const before = this.#kept.namespaces[cookie];
    if (before === undefined && spans.length === 0) return;
    try {
      const [from = 0, to = 0] = readFileSync(RANGE, 'utf8').trim().split(/\s+/).map(Number);
      const { reserve, left } = portsToReserve(spans, { from, to });
      this.#put(cookie, before, reserve);
      if (left.length > 0)
        this.#tell(
          `ports ${portListText(left)} are registered and not kept out of the ephemeral ports ${from}-${to}: less than half of them would be left`,
        );
    } catch (error) {
      this.#tell(`registered ports are not kept out of the ephemeral ones: ${(error as Error).message}`);
    }
  }

  #put(cookie: number, before: Reserved | undefined, reserve: PortList): void {
    const { text, reserved } = reservation(readFileSync(SYSCTL, 'utf8').trim(), before, reserve);
    if (text === undefined && before?.written === reserved?.written && before?.operator === reserved?.operator) return;
    const { [cookie]: _, ...others } = this.#kept.namespaces;
    const next = { ...this.#kept, namespaces: reserved === undefined ? others : { ...others, [cookie]: reserved } };
    if (reserved !== undefined) this.#save(next);
    if (text !== undefined) writeFileSync(SYSCTL, `${text}\n`);
    if (reserved === undefined) this.#save(next);
  }

  /** Cookies are never used again and ascend, so of the namespaces that are gone the oldest are forgotten. */
  #save(kept: Kept): void {
    const newest = Object.keys(kept.namespaces)
      .map(Number)
      .sort((a, b) => b - a)
      .slice(0, KEPT_MAX);
    const namespaces = Object.fromEntries(newest.map((cookie) => [cookie, kept.namespaces[cookie]!]));
    this.#kept = { ...kept, namespaces };
    save(this.#options.stateDir, this.#kept);
  }

  #tell(line: string): void {
    if (line !== this.#told) this.#options.log(line);
    this.#told = line;
  }
}

/**
 * What to write (`text`; undefined = as it is) and what to remember, where `now` stands in the sysctl.
 */
export function reservation(
  now: string,
  before: Reserved | undefined,
  reserve: PortList,
): { readonly text?: string; readonly reserved?: Reserved } {
  const operator = before !== undefined && now === before.written ? before.operator : now;
  const theirs = parsePortList(operator);
  const isOurs = withoutPorts(reserve, theirs).length > 0;
  const wanted = isOurs ? portListText(joinPorts([...theirs, ...reserve])) : operator;
  return {
    ...(wanted === now ? {} : { text: wanted }),
    ...(isOurs ? { reserved: { operator, written: wanted } } : {}),
  };
}

/** Takes back what an agent with this state directory reserved, in every namespace that has a process or a mount; without an agent. */
export function releaseReservedPorts(stateDir: string): number {
  const { namespaces } = load(stateDir);
  let released = 0;
  if (Object.keys(namespaces).length > 0)
    visitNamespaces((cookie) => {
      const before = namespaces[cookie];
      if (before === undefined) return;
      const { text } = reservation(readFileSync(SYSCTL, 'utf8').trim(), before, []);
      if (text === undefined) return;
      writeFileSync(SYSCTL, `${text}\n`);
      released++;
    });
  if (Object.keys(namespaces).length > 0) save(stateDir, { boot: bootId(), namespaces: {} });
  return released;
}

function load(stateDir: string): Kept {
  const boot = bootId();
  const kept = readJson<Kept>(stateDir, FILE);
  return kept?.boot === boot ? kept : { boot, namespaces: {} };
}

/** Before the sysctl changes, so it cannot wait; small, and rarely written. */
function save(stateDir: string, kept: Kept): void {
  const path = join(stateDir, FILE);
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  writeFileSync(`${path}.new`, JSON.stringify(kept), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
