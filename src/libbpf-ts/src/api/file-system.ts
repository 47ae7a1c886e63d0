/** The file systems BPF needs: bpffs, where pins live, and cgroup2. */
import { mkdirSync, statfsSync } from 'node:fs';
import { checkErrno } from '../sys/error.ts';
import { libc } from '../sys/libc.ts';

const BPF_FS_MAGIC = 0xcafe4a11;

/** Makes the directory `path` and mounts a bpffs there, unless it is on one already. Needs CAP_SYS_ADMIN. */
export function mountBpffs(path: string): void {
  mkdirSync(path, { recursive: true });
  if (isBpffs(path)) return;
  checkErrno(libc.mount('bpf', path, 'bpf', 0, null), () => `mount bpffs on "${path}"`, {
    hint: 'needs CAP_SYS_ADMIN',
  });
}

/** Mounts the cgroup2 hierarchy at the directory `path`. Needs CAP_SYS_ADMIN. */
export function mountCgroup2(path: string): void {
  checkErrno(libc.mount('cgroup2', path, 'cgroup2', 0, null), () => `mount cgroup2 on "${path}"`, {
    hint: 'needs CAP_SYS_ADMIN',
  });
}

/** Whether `path` exists and is on a bpffs. */
export function isBpffs(path: string): boolean {
  try {
    return statfsSync(path).type === BPF_FS_MAGIC;
  } catch {
    return false;
  }
}
