import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunOptions, run } from '../e2e/run-in.ts';

/** Client and server of a measurement share this CPU; the agent and whoever prints have the others. */
export const CPU = 1;
export const OTHER_CPU = 0;

/** The load generator, compiled for this run. */
export interface Load {
  readonly path: string;
  /** The number that `load WORDS` printed. */
  measure(words: readonly (string | number)[], where?: RunOptions): Promise<number>;
  delete(): void;
}

export function buildLoad(): Load {
  const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'));
  const path = join(folder, 'load');
  execFileSync('cc', ['-O2', '-Wall', '-o', path, join(import.meta.dirname, 'load.c')], { stdio: 'inherit' });
  return {
    path,
    measure: async (words, where = {}) => {
      const { code, stdout, stderr } = await run([path, ...words.map(String)], { limitMs: 60_000, ...where });
      if (code !== 0) throw new Error(`load ${words.join(' ')} ended with ${code}: ${stderr}`);
      return Number(stdout.split(' ')[0]);
    },
    delete: () => rmSync(folder, { recursive: true, force: true }),
  };
}
