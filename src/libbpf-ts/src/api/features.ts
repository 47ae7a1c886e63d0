/** What the running kernel and libbpf can do. Probed once per process. */
import { existsSync } from 'node:fs';
import { Btf } from '../btf/btf.ts';
import { libbpf } from '../sys/libbpf.ts';
import type { MapType } from '../sys/map.ts';
import { MAP_TYPES } from '../sys/map.ts';

export interface Features {
  /** /sys/kernel/btf/vmlinux: needed for CO-RE and everything below that is found by name. */
  readonly kernelBtf: boolean;
  readonly ringbuf: boolean;
  readonly skStorage: boolean;
  readonly cgrpStorage: boolean;
  readonly lpmTrie: boolean;
  readonly iterTcp: boolean;
  readonly iterUdp: boolean;
  readonly iterTaskFile: boolean;
  /** kfunc bpf_sock_destroy, callable from iter/tcp and iter/udp. */
  readonly sockDestroyKfunc: boolean;
  /** `attachTcx`. */
  readonly tcx: boolean;
}

const FUNCTIONS = {
  iterTcp: 'bpf_iter_tcp',
  iterUdp: 'bpf_iter_udp',
  iterTaskFile: 'bpf_iter_task_file',
  sockDestroyKfunc: 'bpf_sock_destroy',
  tcx: 'tcx_link_attach',
} as const;

let probed: Features | undefined;

/** Needs CAP_BPF; without it map types count as missing. */
export function features(): Features {
  probed ??= probe();
  return probed;
}

/** "1.1.2" */
export function libbpfVersion(): string {
  return libbpf().libbpf_version_string().replace(/^v/, '');
}

/** Number of values in a per-CPU map. */
export function possibleCpus(): number {
  return libbpf().libbpf_num_possible_cpus();
}

function probe(): Features {
  const kernelBtf = existsSync('/sys/kernel/btf/vmlinux');
  const hasMap = (type: MapType): boolean => libbpf().libbpf_probe_bpf_map_type(MAP_TYPES[type], null) === 1;
  // Local: 5 MB that nobody needs afterwards.
  const btf = kernelBtf ? Btf.kernel() : undefined;
  const hasFunction = (name: keyof typeof FUNCTIONS): boolean => btf?.hasFunction(FUNCTIONS[name]) ?? false;
  return {
    kernelBtf,
    ringbuf: hasMap('ringbuf'),
    skStorage: hasMap('sk_storage'),
    cgrpStorage: hasMap('cgrp_storage'),
    lpmTrie: hasMap('lpm_trie'),
    iterTcp: hasFunction('iterTcp'),
    iterUdp: hasFunction('iterUdp'),
    iterTaskFile: hasFunction('iterTaskFile'),
    sockDestroyKfunc: hasFunction('sockDestroyKfunc'),
    tcx: hasFunction('tcx'),
  };
}
