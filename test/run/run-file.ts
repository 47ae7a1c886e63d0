import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { killProcessesOf, testMarker } from './leftovers.ts';
import { parseSkips, type Skip } from './skips.ts';

export interface RunFile {
  readonly root: string;
  readonly path: string;
}

export interface FileResult {
  readonly path: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly seconds: number;
  readonly output: string;
  readonly skips: readonly Skip[];
}

const defaultLimitSeconds = 120;

/**
 * Runs one test file in a session of its own, with its name in the environment, and reads uvu's closing lines. It fails as a whole when it dies,
 * runs over its time, prints no totals (a forgotten `.run()`), holds no test, or leaves a process running.
 */
export async function runFile({ root, path }: RunFile): Promise<FileResult> {
  const limitSeconds = timeLimit(readFileSync(join(root, path), 'utf8'));
  const begin = performance.now();
  const child = spawn(process.execPath, [path], {
    cwd: root,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      NO_COLOR: '1',
      FORCE_COLOR: '0',
      NODE_COMPILE_CACHE: join(root, 'node_modules', '.cache', 'postern'),
      POSTERN_TEST_RUN: testMarker(path),
    },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const trouble: string[] = [];
  const timer = setTimeout(() => {
    trouble.push(`not done after ${limitSeconds} s, killed`);
    if (child.pid) killProcessesOf(child.pid, path);
  }, limitSeconds * 1000);
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.on('error', (error) => {
      trouble.push(error.message);
      resolve([null, null]);
    });
    child.on('exit', (...end) => resolve(end));
  });
  clearTimeout(timer);
  if (child.pid) trouble.push(...killProcessesOf(child.pid, path).map((process) => `left running: ${process}`));
  await drained(child.stdout, child.stderr);
  return {
    path,
    ...judge(output, code, signal, trouble),
    seconds: (performance.now() - begin) / 1000,
    skips: parseSkips(path, output),
  };
}

function judge(output: string, code: number | null, signal: string | null, trouble: string[]) {
  const total = lastCount(output, 'Total');
  const passed = lastCount(output, 'Passed') ?? 0;
  const skipped = lastCount(output, 'Skipped') ?? 0;
  if (total === undefined) trouble.push('printed no totals: did it die, or forget .run()?');
  else if (total + skipped === 0) trouble.push('holds no test');
  const failedTests = Math.max(0, (total ?? 0) - passed);
  if (code !== 0 && failedTests === 0 && trouble.length === 0)
    trouble.push(`ended with ${signal ?? code} though every test passed`);
  return {
    passed,
    skipped,
    failed: failedTests + (trouble.length > 0 ? 1 : 0),
    output: `${output}\n${trouble.join('\n')}`,
  };
}

/** uvu prints `  Total:     12` at the end; a test's own output may hold such a line earlier. */
function lastCount(output: string, word: string): number | undefined {
  const found = [...output.matchAll(new RegExp(`^ {2}${word}: +(\\d+)$`, 'gm'))].at(-1);
  return found ? Number(found[1]) : undefined;
}

function timeLimit(source: string): number {
  return Number(/^\/\/ @timeout (\d+)$/m.exec(source.slice(0, 2000))?.[1] ?? defaultLimitSeconds);
}

/** The pipes may hold text after the exit, and a process that left the session may hold them open for ever. */
async function drained(...streams: readonly Readable[]): Promise<void> {
  const open = streams.filter((stream) => !stream.readableEnded);
  const ends = Promise.all(open.map((stream) => new Promise((resolve) => stream.once('close', resolve))));
  await Promise.race([ends, delay(500)]);
}
