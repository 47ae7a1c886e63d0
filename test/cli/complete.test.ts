import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { cli } from './cli-run.ts';

/** No server listens here: names complete to nothing, words of the table still do. */
const NOBODY = { env: { POSTERN_SERVER: 'unix:/nowhere/postern.sock' } };

async function candidates(...words: string[]): Promise<string[]> {
  const { exit, stdout, stderr } = await cli(['__complete', '--', ...words], NOBODY);
  assert.equal([exit, stderr], [0, '']);
  return stdout.split('\n').filter((line) => line !== '');
}

test('commands', async () => {
  assert.equal(await candidates('w'), ['workload']);
  assert.equal(await candidates('workload', ''), ['adopt', 'delete', 'get', 'list', 'preview', 'put']);
  assert.equal(await candidates('agent', 's'), ['status']);
  assert.not((await candidates('')).includes('__complete'));
});

test('flags of the command, with the global ones', async () => {
  assert.equal(await candidates('observe', '--ve'), ['--verdict']);
  assert.equal(await candidates('observe', '--se'), ['--server']);
  assert.equal(await candidates('workload', 'put', 'a/b', '--ex'), ['--exe']);
});

test('values of a flag, apart or joined, or split by bash', async () => {
  assert.equal(await candidates('observe', '--verdict', 'D'), ['DROPPED']);
  assert.equal(await candidates('observe', '--verdict=D'), ['--verdict=DROPPED']);
  assert.equal(await candidates('observe', '--verdict', '=', 'D'), ['DROPPED']);
  assert.equal(await candidates('observe', '-o', ''), ['json', 'table', 'yaml']);
});

test('files are left to the shell', async () => {
  assert.equal(await candidates('apply', '-f', ''), [':files']);
  assert.equal(await candidates('apply', 'pol'), [':files']);
});

test('commands after help', async () => {
  assert.equal(await candidates('help', 'st'), ['standalone', 'status']);
  assert.equal(await candidates('help', 'workload', 'p'), ['preview', 'put']);
});

test('nouns after get, shells after completion', async () => {
  assert.equal(await candidates('get', 'work'), ['workload', 'workloads']);
  assert.equal(await candidates('completion', ''), ['bash', 'fish', 'zsh']);
});

test('the scripts name the shells, another shell is refused', async () => {
  for (const shell of ['bash', 'zsh', 'fish']) assert.match((await cli(['completion', shell])).stdout, /__complete/);
  assert.match((await cli(['completion', 'tcsh'])).stderr, /no completion for "tcsh" \(allowed: bash, zsh, fish\)/);
});

test('bash completes with the script', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-complete-'));
  const program = join(folder, 'postern');
  const entry = join(folder, 'entry.ts');
  const source = join(import.meta.dirname, '../../src/cli/run.ts');
  writeFileSync(
    entry,
    `import { runCli } from ${JSON.stringify(source)};\nprocess.exitCode = await runCli(process.argv.slice(2), process as never);\n`,
  );
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${entry}' "$@"\n`, { mode: 0o755 });
  const { stdout: script } = await cli(['completion', 'bash']);
  const ask = (line: string) => {
    const words = line
      .split(' ')
      .map((word) => `'${word}'`)
      .join(' ');
    const text = `${script}\nCOMP_WORDS=('${program}' ${words}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _postern; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', text], {
      cwd: folder,
      encoding: 'utf8',
      env: { ...process.env, ...NOBODY.env },
    });
    assert.is(stderr, '');
    return stdout.trim().split('\n');
  };
  assert.equal(ask('observe --verdict = DR'), ['DROPPED']);
  assert.equal(ask('workload p'), ['preview', 'put']);
  assert.equal(ask('apply -f ent'), ['entry.ts']);
  rmSync(folder, { recursive: true });
});

test.run();
