/**
 * Resident memory at rest, which is ten seconds after the start, and after 200 policies and some thousand connections at
 * full speed: server and agent in one process (without the database), and the agent alone; from source and as a bundle,
 * as `./postern` starts them.
 * POSTERN_BENCH_FLAGS="flags|flags" tries other V8 flags.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Instance, startInstance } from '../e2e/instance.ts';
import { serve } from '../e2e/run-in.ts';
import { freePort } from '../e2e/wait.ts';
import { buildLoad } from './load.ts';
import { report } from './row.ts';
import { policyDocument, workloadDocument } from './traffic-world.ts';

const LIMITS = { standalone: 130, split: 90 } as const;
const SIZE = 200;
const load = buildLoad();
const flagSets: (string | undefined)[] = [undefined, ...(process.env.POSTERN_BENCH_FLAGS?.split('|') ?? [])];
const forms = ['source', 'bundle'];
execFileSync(process.execPath, [join(import.meta.dirname, '../../scripts/build-bundle.mjs')], { stdio: 'inherit' });

try {
  for (const mode of ['standalone', 'split'] as const)
    for (const form of forms)
      for (const flags of flagSets) {
        delete process.env.POSTERN_NODE_FLAGS;
        delete process.env.POSTERN_BUNDLE;
        if (flags !== undefined) process.env.POSTERN_NODE_FLAGS = flags;
        if (form === 'bundle') process.env.POSTERN_BUNDLE = '1';
        const postern = await startInstance({ mode });
        try {
          await new Promise((resolve) => setTimeout(resolve, 10_000));
          const rest = residentMB(postern);
          await work(postern);
          const after = residentMB(postern);
          report({
            what: `memory, ${mode === 'split' ? 'agent alone' : 'server and agent'}, ${form}${flags === undefined ? '' : ` ${flags}`}`,
            measured: `${rest.all} MB (heap etc. ${rest.anonymous}, files and maps ${rest.file}); ${after.all} MB after load`,
            target: `< ${LIMITS[mode]} MB at rest`,
            met: rest.all < LIMITS[mode],
          });
        } finally {
          await postern.destroy();
        }
      }
} finally {
  load.delete();
}

async function work(postern: Instance): Promise<void> {
  const documents = Array.from({ length: SIZE }, (_, i) => [
    workloadDocument(i, postern.cgroupPath),
    policyDocument(i),
  ]);
  await postern.apply(...documents.flat());
  const port = await freePort();
  const server = await serve([load.path, 'serve', '-1', '127.0.0.1', String(port)], /ready/, {
    cgroup: postern.makeCgroup('server'),
  });
  await load.measure(['connect', '-1', '127.0.0.1', port, 0.3], { cgroup: postern.makeCgroup('client') });
  server.kill('SIGKILL');
  await postern.flow('event=close', () => true);
}

function residentMB(postern: Instance): { all: number; anonymous: number; file: number } {
  const status = readFileSync(`/proc/${postern.pid()}/status`, 'utf8');
  const of = (name: string): number => Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024);
  return { all: of('VmRSS'), anonymous: of('RssAnon'), file: of('RssFile') };
}
