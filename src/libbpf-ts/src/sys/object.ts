/** struct bpf_object and its maps and programs. Pointers stay in private fields and die with `close()`. */
import koffi from 'koffi';
import { captured, capturedAsync } from './capture.ts';
import { BpfError, BpfVerifierError, check } from './error.ts';
import { libbpf } from './libbpf.ts';
import type { Pointer } from './libc.ts';
import { LinkHandle } from './link.ts';
import { Struct } from './opts.ts';

export class ObjectHandle {
  readonly name: string;
  readonly maps: readonly MapHandle[];
  readonly programs: readonly ProgramHandle[];
  #pointer: Pointer | undefined;
  #loading = false;
  readonly #verbose: boolean;

  /** `bytes` is read once, during the constructor. */
  constructor(bytes: Uint8Array, name: string, kernelLogLevel: number) {
    this.name = name;
    this.#verbose = kernelLogLevel > 0;
    // struct bpf_object_open_opts: object_name at 8, kernel_log_level at 72.
    const opts = Struct.opts(80).string(8, name).u32(72, kernelLogLevel);
    const lb = libbpf();
    const { value, errno, log } = captured(() => lb.bpf_object__open_mem(bytes, bytes.length, opts.bytes));
    opts.release();
    if (value === null) throw new BpfError(`open BPF object "${name}"`, errno, { log });
    this.#pointer = value;
    const live = (): void => void this.#live();
    const maps: MapHandle[] = [];
    for (let map = lb.bpf_object__next_map(value, null); map !== null; map = lb.bpf_object__next_map(value, map))
      maps.push(new MapHandle(map, live));
    const programs: ProgramHandle[] = [];
    for (let at = lb.bpf_object__next_program(value, null); at !== null; at = lb.bpf_object__next_program(value, at))
      programs.push(new ProgramHandle(at, live));
    this.maps = maps;
    this.programs = programs;
  }

  /** Creates the maps and loads the programs; returns libbpf's log. Throws BpfVerifierError or BpfError. */
  load(): string {
    const pointer = this.#live();
    const { value, log } = captured(() => libbpf().bpf_object__load(pointer), this.#verbose);
    if (value < 0) throw loadError(this.name, -value, log);
    return log;
  }

  /** The same off the event loop. Until it settles the object can only wait. */
  async loadAsync(): Promise<string> {
    const pointer = this.#live();
    this.#loading = true;
    try {
      const load = libbpf().bpf_object__load;
      const { value, log } = await capturedAsync<number>((done) => load.async(pointer, done), this.#verbose);
      if (value < 0) throw loadError(this.name, -value, log);
      return log;
    } finally {
      this.#loading = false;
    }
  }

  /** Throws while `loadAsync()` runs. */
  requireIdle(): void {
    if (this.#loading) throw new Error(`BPF object "${this.name}" is being loaded`);
  }

  close(): void {
    this.requireIdle();
    if (this.#pointer === undefined) return;
    libbpf().bpf_object__close(this.#pointer);
    this.#pointer = undefined;
  }

  #live(): Pointer {
    if (this.#pointer === undefined) throw new Error(`BPF object "${this.name}" is closed`);
    this.requireIdle();
    return this.#pointer;
  }
}

export class MapHandle {
  readonly name: string;
  readonly #pointer: Pointer;
  readonly #live: () => void;

  constructor(pointer: Pointer, live: () => void) {
    this.name = libbpf().bpf_map__name(pointer);
    this.#pointer = pointer;
    this.#live = live;
  }

  /** Negative before load. */
  get fd(): number {
    this.#live();
    return libbpf().bpf_map__fd(this.#pointer);
  }

  get definition(): { type: number; keySize: number; valueSize: number; maxEntries: number } {
    this.#live();
    const lb = libbpf();
    return {
      type: lb.bpf_map__type(this.#pointer),
      keySize: lb.bpf_map__key_size(this.#pointer),
      valueSize: lb.bpf_map__value_size(this.#pointer),
      maxEntries: lb.bpf_map__max_entries(this.#pointer),
    };
  }

  setMaxEntries(count: number): void {
    this.#live();
    check(
      libbpf().bpf_map__set_max_entries(this.#pointer, count),
      () => `set max entries of map "${this.name}" to ${count}`,
      { hint: 'only possible before load' },
    );
  }

  setAutocreate(autocreate: boolean): void {
    this.#live();
    check(libbpf().bpf_map__set_autocreate(this.#pointer, autocreate), () => `set autocreate of map "${this.name}"`, {
      hint: 'only possible before load',
    });
  }

  /** libbpf duplicates `fd`. */
  reuseFd(fd: number): void {
    this.#live();
    check(libbpf().bpf_map__reuse_fd(this.#pointer, fd), () => `reuse fd ${fd} for map "${this.name}"`);
  }

  /** Memory of a global data section before load; undefined for other maps. Not to be touched after load. */
  initialValue(): ArrayBuffer | undefined {
    this.#live();
    const size: [number] = [0];
    const address = libbpf().bpf_map__initial_value(this.#pointer, size);
    return address === null ? undefined : koffi.view(address, Number(size[0]));
  }
}

export class ProgramHandle {
  readonly name: string;
  readonly section: string;
  readonly type: number;
  readonly expectedAttachType: number;
  readonly #pointer: Pointer;
  readonly #live: () => void;

  constructor(pointer: Pointer, live: () => void) {
    const lb = libbpf();
    this.name = lb.bpf_program__name(pointer);
    this.section = lb.bpf_program__section_name(pointer);
    this.type = lb.bpf_program__type(pointer);
    this.expectedAttachType = lb.bpf_program__expected_attach_type(pointer);
    this.#pointer = pointer;
    this.#live = live;
  }

  /** Negative before load and for programs with autoload off. */
  get fd(): number {
    this.#live();
    return libbpf().bpf_program__fd(this.#pointer);
  }

  get autoload(): boolean {
    this.#live();
    return libbpf().bpf_program__autoload(this.#pointer);
  }

  set autoload(autoload: boolean) {
    this.#live();
    check(libbpf().bpf_program__set_autoload(this.#pointer, autoload), () => `set autoload of program "${this.name}"`, {
      hint: 'only possible before load',
    });
  }

  /** Attaches as the section name says. */
  attach(): LinkHandle {
    this.#live();
    const { value, errno, log } = captured(() => libbpf().bpf_program__attach(this.#pointer));
    if (value === null) throw new BpfError(`attach program "${this.name}" (${this.section})`, errno, { log });
    return LinkHandle.adopt(value);
  }
}

function loadError(object: string, errno: number, log: string): BpfError {
  const rejected = /prog '([^']+)': -- BEGIN PROG LOAD LOG --\n([\s\S]*?)-- END PROG LOAD LOG --/.exec(log);
  if (rejected?.[1] !== undefined && rejected[2] !== undefined)
    return new BpfVerifierError(rejected[1], errno, rejected[2], log);
  const hint = errno === 1 ? { hint: 'needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON' } : {};
  return new BpfError(`load BPF object "${object}"`, errno, { log, ...hint });
}
