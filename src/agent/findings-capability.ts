/** Capabilities (capabilities(7)), and which of them are stronger than policy. Bit n is the n-th name. */
export const CAPABILITIES = [
  ...['CHOWN', 'DAC_OVERRIDE', 'DAC_READ_SEARCH', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'SETPCAP'],
  ...['LINUX_IMMUTABLE', 'NET_BIND_SERVICE', 'NET_BROADCAST', 'NET_ADMIN', 'NET_RAW', 'IPC_LOCK', 'IPC_OWNER'],
  ...['SYS_MODULE', 'SYS_RAWIO', 'SYS_CHROOT', 'SYS_PTRACE', 'SYS_PACCT', 'SYS_ADMIN', 'SYS_BOOT', 'SYS_NICE'],
  ...['SYS_RESOURCE', 'SYS_TIME', 'SYS_TTY_CONFIG', 'MKNOD', 'LEASE', 'AUDIT_WRITE', 'AUDIT_CONTROL', 'SETFCAP'],
  ...['MAC_OVERRIDE', 'MAC_ADMIN', 'SYSLOG', 'WAKE_ALARM', 'BLOCK_SUSPEND', 'AUDIT_READ', 'PERFMON', 'BPF'],
  'CHECKPOINT_RESTORE',
].map((name) => `CAP_${name}`);

const OWNS_KERNEL = 'take the programs of Postern out of the kernel, or change their maps';

/** Each with what its holder can do about policy. */
const STRONGER: ReadonlyMap<string, { readonly isHigh: boolean; readonly can: string }> = new Map(
  Object.entries({
    CAP_SYS_ADMIN: { isHigh: true, can: OWNS_KERNEL },
    CAP_BPF: { isHigh: true, can: OWNS_KERNEL },
    CAP_SYS_MODULE: { isHigh: true, can: OWNS_KERNEL },
    CAP_SYS_PTRACE: { isHigh: true, can: 'make processes of other workloads do what it likes' },
    CAP_NET_ADMIN: { isHigh: true, can: 'send through tunnels, routes and translations of its own' },
    CAP_NET_RAW: { isHigh: false, can: 'read what others send and receive (AF_PACKET)' },
  }),
);

/** Those that are stronger than policy, the strongest first. */
export function strongerOf(mask: bigint): string[] {
  return [...STRONGER.keys()].filter((name) => has(mask, name));
}

export function namesOf(mask: bigint): string[] {
  return CAPABILITIES.filter((name) => has(mask, name));
}

export function has(mask: bigint, name: string): boolean {
  return ((mask >> BigInt(CAPABILITIES.indexOf(name))) & 1n) === 1n;
}

export function isHigh(names: readonly string[]): boolean {
  return names.some((name) => STRONGER.get(name)?.isHigh);
}

/** Who owns the kernel needs nothing else. */
export function whatTheyDo(names: readonly string[]): string {
  const can = names.map((name) => STRONGER.get(name)!.can);
  return `it can ${can.includes(OWNS_KERNEL) ? OWNS_KERNEL : can.join('; ')}`;
}
