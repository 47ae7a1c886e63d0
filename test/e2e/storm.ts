/** Two workloads that only a regular expression tells apart, and starts of both at a rate. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Instance, startInstance } from './instance.ts';
import { cnp, only, port } from './policies.ts';
import { run } from './run-in.ts';

export interface Start {
  readonly tag: 'TAG-a' | 'TAG-b';
  readonly us: number;
  readonly how: 'right' | 'wrong' | 'never';
}

export interface Storm {
  readonly postern: Instance;
  starts(rate: number, count: number): Promise<Start[]>;
  destroy(): Promise<void>;
}

const PORTS = { a: 40_101, b: 40_102 };

export async function openStorm(): Promise<Storm> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-storm-'));
  const program = join(folder, 'storm');
  const source = join(import.meta.dirname, '../bench/storm.c');
  execFileSync('cc', ['-O1', '-static', '-Wall', '-o', program, source], { stdio: 'inherit' });
  const postern = await startInstance();
  const destroy = async (): Promise<void> => {
    await postern.destroy();
    rmSync(folder, { recursive: true });
  };
  try {
    for (const name of ['a', 'b'] as const)
      await postern.workload(`shop/${name}`, {
        labels: { app: name },
        match: { process: { exe: program, user: '0', argsRegex: `^storm TAG-${name}` } },
      });
    const to = (which: 'a' | 'b') =>
      cnp(which, { egress: [{ toEntities: ['host'], toPorts: [port(PORTS[which], 'UDP')] }] });
    await only(postern, to('a'), to('b'));
    return {
      postern,
      destroy,
      starts: async (rate, count) => {
        const words = [program, rate, count, PORTS.a, PORTS.b].map(String);
        const where = { cgroup: postern.makeCgroup('storm'), limitMs: 60_000 };
        const { code, stdout, stderr } = await run(words, where);
        if (code !== 0) throw new Error(`storm ended with ${code}: ${stderr}`);
        return stdout
          .trim()
          .split('\n')
          .map((line) => {
            const [tag, us, how] = line.split(' ');
            return { tag, us: Number(us), how } as Start;
          });
      },
    };
  } catch (error) {
    await destroy();
    throw error;
  }
}
