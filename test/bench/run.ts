// `npm run bench [word…]`: every *.bench.ts (those whose name contains a word) in a process of its own, then one table of
// what was measured, what was wanted, and whether it was reached. Prints only: the exit code is 0 whatever the figures are.
import { spawn } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ROW_MARK, type Row, toLine } from './row.ts';

const words = process.argv.slice(2);
const files = globSync('*.bench.ts', { cwd: import.meta.dirname })
  .filter((name) => words.length === 0 || words.some((word) => name.includes(word)))
  .sort();
const rows: Row[] = [];
const start = performance.now();
for (const name of files) {
  console.log(`\n── ${name}`);
  const code = await runBench(name);
  if (code !== 0) rows.push({ what: name, measured: `ended with ${code}: no figures`, met: false });
}
const mhz = /cpu MHz\s*: ([\d.]+)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '?';
console.log(
  `\n${new Date().toISOString()}, Linux ${release()}, ${cpus().length} x ${cpus()[0]?.model} (${mhz} MHz), load ${loadavg()[0]!.toFixed(1)}, ${Math.round((performance.now() - start) / 1000)} s\n`,
);
console.log(toLine({ what: 'figure', measured: 'measured', target: 'target' }));
for (const row of rows) console.log(toLine(row));

async function runBench(name: string): Promise<number | null> {
  const child = spawn(process.execPath, ['--expose-gc', join(import.meta.dirname, name)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, POSTERN_BENCH: '1' },
  });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith(ROW_MARK)) console.log(line);
    else {
      const row = JSON.parse(line.slice(ROW_MARK.length)) as Row;
      rows.push(row);
      console.log(toLine(row));
    }
  }
  return ended;
}
