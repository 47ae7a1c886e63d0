/** The datapath alone, without an agent: own pins, own cgroup. Programs are loaded; what attaches is up to the test. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { findCgroupMount } from '../../src/agent/preflight.ts';
import { detachKernel, Kernel } from '../../src/datapath/kernel.ts';
import { until } from '../e2e/wait.ts';

const OBJECT = join(import.meta.dirname, '../../build/postern.bpf.o');

export interface OwnKernel {
  readonly kernel: Kernel;
  readonly mount: string;
  /** Below the cgroup2 root, without leading slash. */
  readonly cgroupPath: string;
  readonly cgroupDir: string;
  readonly pinDir: string;
  /** Another run over the same pins. */
  reopen(): Kernel;
  /** Makes a cgroup below the own one; returns its folder. */
  makeCgroup(name: string): string;
  destroy(): Promise<void>;
}

export function openKernel(): OwnKernel {
  const mount = findCgroupMount();
  if (mount === undefined) throw new Error('no cgroup2 mounted');
  const id = `${process.pid}-${randomBytes(3).toString('hex')}`;
  const cgroupPath = `postern-test-${id}`;
  const cgroupDir = join(mount, cgroupPath);
  const pinDir = `/sys/fs/bpf/postern-test-${id}`;
  mkdirSync(cgroupDir);
  const opened: Kernel[] = [];
  const open = (): Kernel => {
    const kernel = new Kernel({ object: OBJECT, pinDir, cgroupRoot: cgroupDir });
    opened.push(kernel);
    kernel.setScope({ cgroup: statSync(cgroupDir).ino, level: 1 });
    return kernel;
  };
  const destroy = async (): Promise<void> => {
    detachKernel(pinDir);
    for (const kernel of opened) kernel.close();
    await removeCgroup(cgroupDir);
  };
  try {
    const kernel = open();
    return {
      kernel,
      mount,
      cgroupPath,
      cgroupDir,
      pinDir,
      reopen: open,
      makeCgroup: (name) => {
        const path = join(cgroupDir, name);
        mkdirSync(path, { recursive: true });
        return path;
      },
      destroy,
    };
  } catch (error) {
    detachKernel(pinDir);
    rmdirSync(cgroupDir);
    throw error;
  }
}

/** What is still inside is killed first. */
async function removeCgroup(dir: string): Promise<void> {
  if (!existsSync(dir)) return;
  for (const entry of readdirSync(dir, { withFileTypes: true }))
    if (entry.isDirectory()) await removeCgroup(join(dir, entry.name));
  const pids = (): number[] => readFileSync(join(dir, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
  for (const pid of pids())
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // ended meanwhile
    }
  await until(`cgroup ${dir} is empty`, () => pids().length === 0);
  rmdirSync(dir);
}
