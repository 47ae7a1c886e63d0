/** What kernel tests need: compiled objects, a private bpffs, a test cgroup. Everything is gone when the process ends. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mountBpffs } from '../src/index.ts';

let directory: string | undefined;
const mounts: string[] = [];

/** Why kernel tests cannot run here, undefined if they can. */
export function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'root: these tests load programs into the kernel';
  if (!existsSync('/sys/kernel/btf/vmlinux')) return 'kernel: needs 5.4 (BTF at /sys/kernel/btf/vmlinux)';
  return missingCompiler();
}

export function missingCompiler(): string | undefined {
  return spawnSync('clang', ['--version']).status === 0 ? undefined : 'package: clang';
}

/** Path of `<name>.bpf.c`, compiled into a temporary directory. */
export function compile(name: 'all' | 'rejected'): string {
  const object = join(scratch(), `${name}.bpf.o`);
  if (existsSync(object)) return object;
  // Debian keeps <asm/types.h> in the multiarch directory, which clang -target bpf does not search.
  const include = `/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
  const source = join(import.meta.dirname, `${name}.bpf.c`);
  const flags = ['-target', 'bpf', '-mcpu=v3', '-g', '-O2', '-Wall', '-Werror', '-I', include];
  execFileSync('clang', [...flags, '-c', source, '-o', object], { stdio: 'inherit' });
  return object;
}

/** A bpffs of its own: unmounting it drops all pins. */
export function privateBpffs(): string {
  const path = mkdtempSync(join(scratch(), 'bpffs-'));
  mountBpffs(path);
  mounts.push(path);
  return path;
}

/** Runs `test` with this process in a new cgroup (v2). */
export async function inCgroup(test: (path: string) => Promise<void>): Promise<void> {
  const [, root = ''] = / (\S+) cgroup2 /.exec(readFileSync('/proc/mounts', 'utf8')) ?? [];
  const home = /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1] ?? '/';
  const path = join(root, `libbpf-ts-test-${process.pid}`);
  mkdirSync(path);
  try {
    writeFileSync(join(path, 'cgroup.procs'), `${process.pid}`);
    await test(path);
  } finally {
    writeFileSync(join(root, home, 'cgroup.procs'), `${process.pid}`);
    rmdirSync(path);
  }
}

/** Resolves when `condition` holds. The test runner's limit ends a wait that never does. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

export function scratch(): string {
  if (directory !== undefined) return directory;
  const path = mkdtempSync(join(tmpdir(), 'libbpf-ts-'));
  directory = path;
  process.once('exit', () => {
    for (const mount of mounts) execFileSync('umount', [mount]);
    rmSync(path, { recursive: true, force: true });
  });
  return path;
}
