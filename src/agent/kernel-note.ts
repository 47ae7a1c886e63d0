import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Which revision the kernel holds: of which control plane, and its number. */
export interface KernelNote {
  readonly uid: string;
  readonly revision: number;
}

const FILE = 'kernel-revision.json';

/**
 * Written before the kernel changes, in the run folder: like the kernel's pins it outlives the agent and not a reboot. The state
 * on disk follows later (StateSaver), so after a crash it may be older than what the kernel enforces: then it must not be
 * applied, which would go back. Not synced: only a reboot could lose it, and the pins with it.
 */
export function writeKernelNote(runDir: string, { uid, revision }: KernelNote): void {
  mkdirSync(runDir, { recursive: true, mode: 0o755 });
  const path = join(runDir, FILE);
  writeFileSync(`${path}.new`, JSON.stringify({ uid, revision }), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Undefined when nobody has written one, or it cannot be read. */
export function readKernelNote(runDir: string): KernelNote | undefined {
  try {
    const { uid, revision } = JSON.parse(readFileSync(join(runDir, FILE), 'utf8')) as Partial<KernelNote>;
    return typeof uid === 'string' && typeof revision === 'number' ? { uid, revision } : undefined;
  } catch {
    return undefined;
  }
}

/** Is the state on disk behind what the kernel holds? Then only the control plane knows what the kernel has. */
export function isBehind(disk: KernelNote, kernel: KernelNote | undefined): boolean {
  return kernel !== undefined && (disk.uid !== kernel.uid || disk.revision < kernel.revision);
}
