import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { BpfLink, BpfMap, BpfObject, type BpfProgram, features, isBpffs, mountBpffs, objGet } from 'libbpf-ts';
import { DETACH_ORDER, SOCKET_PROGRAMS, TRACING_PROGRAMS } from './hooks.ts';
import { type DatapathMaps, mapCodecs } from './maps.ts';

/** POSTERN_ABI_VERSION of bpf/abi.h. */
export const ABI_VERSION = 5;

export interface KernelOptions {
  /** The compiled object, build/postern.bpf.o. */
  readonly object: string | Uint8Array;
  /** A folder of a bpffs; made if missing. */
  readonly pinDir: string;
  /** Where the socket hooks attach. */
  readonly cgroupRoot: string;
}

/**
 * Programs, maps and links, pinned: `<pinDir>/maps/*`, `<pinDir>/links/*`. A later run takes over the maps and replaces
 * the programs in the links, so that there is no moment without enforcement; nothing that is not ours is detached.
 */
export class Kernel {
  readonly maps: DatapathMaps;
  readonly events: BpfMap<unknown, unknown>;
  readonly programs: BpfObject;
  readonly pinDir: string;
  readonly #options: KernelOptions;
  readonly #iterators = new Map<string, BpfLink>();
  readonly #kept = new Set<string>();
  /** Maps were there before: an earlier run enforces. */
  readonly resumed: boolean;

  /** Loads programs and maps. Nothing is attached yet; what an earlier run attached goes on. */
  constructor(options: KernelOptions) {
    this.#options = options;
    this.pinDir = options.pinDir;
    prepareFolder(options.pinDir);
    const object = BpfObject.open(options.object, { objectName: 'postern' });
    this.resumed = existsSync(this.#mapPin('config'));
    if (this.resumed) requireAbi(this.#mapPin('config'), options.pinDir);
    for (const [name, map] of object.maps) {
      const pin = this.#mapPin(name);
      if (name !== 'scratch' && existsSync(pin)) map.reuseFd(objGet(pin));
    }
    object.load();
    for (const [name, map] of object.maps) {
      const pin = this.#mapPin(name);
      if (name !== 'scratch' && !existsSync(pin)) map.pin(pin);
    }
    this.programs = object;
    const maps = Object.entries(mapCodecs).map(([name, codecs]) => [name, object.map(name, codecs as never)]);
    this.maps = Object.fromEntries(maps) as DatapathMaps;
    this.events = object.maps.get('events')!;
    this.#initialise();
  }

  /** exec, fork, exit, cgroups. Before `attachSockets`, so that every process has its label before a socket is judged. */
  attachTracing(): void {
    for (const name of TRACING_PROGRAMS) {
      // A tracing link cannot change its program: the new one runs beside the old for a moment, which is harmless.
      const pin = this.#linkPin(name);
      const link = this.programs.program(name).attach();
      if (existsSync(pin)) {
        link.pin(`${pin}_new`);
        renameSync(`${pin}_new`, pin);
      } else link.pin(pin);
      link.close();
    }
  }

  attachSockets(): void {
    for (const name of SOCKET_PROGRAMS) {
      const pin = this.#linkPin(name);
      const program = this.programs.program(name);
      if (existsSync(pin)) {
        const link = BpfLink.openPinned(pin);
        link.update(program);
        link.close();
        continue;
      }
      const link = program.attachCgroup(this.#options.cgroupRoot);
      link.pin(pin);
      link.close();
    }
  }

  /**
   * A hook at one more place, pinned as `links/<name>` like the others; from an earlier run it is taken over. `attach`
   * makes the link of `program` where there is none.
   */
  keep(name: string, program: string, attach: (program: BpfProgram) => BpfLink): void {
    const pin = this.#linkPin(name);
    if (this.#kept.has(name) && existsSync(pin)) return;
    this.#kept.add(name);
    const link = existsSync(pin) ? BpfLink.openPinned(pin) : attach(this.programs.program(program));
    if (existsSync(pin)) link.update(this.programs.program(program));
    else link.pin(pin);
    link.close();
  }

  /** Whether what a link of `keep` is attached to, an interface or a cgroup, is gone. */
  isDangling(name: string): boolean {
    const link = BpfLink.openPinned(this.#linkPin(name));
    const { ifindex, cgroupId } = link.info();
    link.close();
    return ifindex === 0 || cgroupId === 0;
  }

  /** Removes what `keep` made. */
  drop(name: string): void {
    unlinkSync(this.#linkPin(name));
    this.#kept.delete(name);
  }

  /** Only processes below this cgroup are named; undefined = all. */
  setScope(scope: { readonly cgroup: number; readonly level: number } | undefined): void {
    const config = this.maps.config.get(0)!;
    this.maps.config.set(0, { ...config, scope: scope?.cgroup ?? 0, scope_level: scope?.level ?? 0 });
  }

  /** Whether processes that are no workload are judged as the reserved identity host. */
  setHostPolicy(on: boolean): void {
    const config = this.maps.config.get(0)!;
    if (config.host_policy !== Number(on)) this.maps.config.set(0, { ...config, host_policy: Number(on) });
  }

  /** Links of this instance that are attached now, by program. */
  attached(): string[] {
    return existsSync(join(this.#options.pinDir, 'links'))
      ? readdirSync(join(this.#options.pinDir, 'links')).sort()
      : [];
  }

  /** Runs an iterator program once over everything that the calling thread's network namespace shows; returns its output. */
  iterate(name: 'host_root' | 'backfill' | 'revoke_tcp'): Buffer {
    let link = this.#iterators.get(name);
    if (link === undefined) {
      link = this.programs.program(name).attachIter();
      this.#iterators.set(name, link);
    }
    return link.readIter();
  }

  /** The same over one process; does nothing if that has ended. */
  iterateProcess(name: 'backfill', pid: number): void {
    try {
      const link = this.programs.program(name).attachIter({ pid });
      link.readIter();
      link.close();
    } catch (error) {
      if (existsSync(`/proc/${pid}`)) throw error;
    }
  }

  /** Ends this process's hold; what is pinned goes on. */
  close(): void {
    for (const link of this.#iterators.values()) link.close();
    this.programs.close();
  }

  #initialise(): void {
    const config = this.maps.config.get(0)!;
    const fresh = config.abi === 0;
    this.maps.config.set(0, {
      ...config,
      abi: ABI_VERSION,
      hash_key: fresh ? randomBytes(8).readBigUInt64LE() | 1n : config.hash_key,
      revoke_by_list: features().sockDestroyKfunc ? 0 : 1,
    });
    this.iterate('host_root');
  }

  #mapPin(name: string): string {
    return join(this.#options.pinDir, 'maps', name);
  }

  #linkPin(name: string): string {
    return join(this.#options.pinDir, 'links', name);
  }
}

/** Opens everything: removes links first, then maps. Works without an agent. Returns what was removed. */
export function detachKernel(pinDir: string): string[] {
  const removed: string[] = [];
  for (const folder of ['links', 'maps']) {
    const path = join(pinDir, folder);
    if (!existsSync(path)) continue;
    const names = readdirSync(path);
    const order = (name: string): number => DETACH_ORDER.indexOf(name) >>> 0;
    for (const name of names.sort((a, b) => order(a) - order(b))) {
      unlinkSync(join(path, name));
      removed.push(`${folder}/${name}`);
    }
    rmdirSync(path);
  }
  if (existsSync(pinDir)) rmdirSync(pinDir);
  return removed;
}

function prepareFolder(pinDir: string): void {
  const parent = '/sys/fs/bpf';
  if (pinDir.startsWith(`${parent}/`) && !isBpffs(parent)) mountBpffs(parent);
  for (const folder of ['maps', 'links']) mkdirSync(join(pinDir, folder), { recursive: true, mode: 0o700 });
  if (!isBpffs(pinDir)) throw new Error(`Pin directory "${pinDir}" is not on a bpffs: mount -t bpf bpf ${parent}`);
}

function requireAbi(pin: string, pinDir: string): void {
  const map = BpfMap.openPinned(pin, mapCodecs.config);
  const found = map.get(0)?.abi ?? 0;
  map.close();
  if (found !== 0 && found !== ABI_VERSION)
    throw new Error(
      `The maps in "${pinDir}" have layout ${found}, this version needs ${ABI_VERSION}: run "postern agent detach --pin-dir ${pinDir} --yes", which opens everything, then start again`,
    );
}
