// @timeout 300
/** 2,000 starts of two workloads that differ by one argument, each connecting at once: nobody is taken for the other. */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from '../e2e/instance.ts';
import { app, cnp, only, port } from '../e2e/policies.ts';
import { run, serve } from '../e2e/run-in.ts';
import { freePort, told } from '../e2e/wait.ts';

const test = suite('start storm');
const ROUNDS = 1_000;
/** To each other's port, where each is refused. */
const CROSSED = 250;
let postern: Instance;
let folder: string;
let echo: ChildProcess;
let mailPort: number;
let imagePort: number;

/** Starts `rounds` of each to these ports; how many were answered. */
async function storm(mail: number, image: number, rounds = ROUNDS): Promise<number> {
  const words = [join(folder, 'hello'), 'storm', String(rounds), String(mail), String(image)];
  const { stdout, stderr } = await run(words, { cgroup: postern.makeCgroup('storm'), limitMs: 120_000 });
  assert.match(stdout, /^\d+\n$/, stderr);
  return Number(stdout);
}

test.before(
  told(async () => {
    postern = await startInstance({ mode: 'split' });
    folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
    chmodSync(folder, 0o755);
    const program = join(folder, 'hello');
    execFileSync('cc', ['-O1', '-static', '-Wall', '-o', program, join(import.meta.dirname, 'hello.c')]);
    mailPort = await freePort();
    imagePort = await freePort();
    const words = [
      process.execPath,
      join(import.meta.dirname, '../e2e/echo.mjs'),
      `tcp:${mailPort}`,
      `tcp:${imagePort}`,
    ];
    echo = await serve(words, /ready/, { cgroup: postern.makeCgroup('echo') });
    for (const name of ['mail', 'image'])
      await postern.workload(`shop/${name}`, {
        labels: { app: name },
        match: { process: { exe: program, args: [`--queue=${name}`] } },
      });
    await postern.workload('shop/echo', { labels: { app: 'echo' }, match: { cgroup: `/${postern.cgroupPath}/echo` } });
    // who has no label, or the other's, is not heard
    await only(
      postern,
      cnp('echo', {
        ingress: [
          { fromEndpoints: [app('mail')], toPorts: [port(mailPort)] },
          { fromEndpoints: [app('image')], toPorts: [port(imagePort)] },
        ],
      }),
    );
  }),
);

test.after(async () => {
  echo?.kill('SIGKILL');
  await postern?.destroy();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

test('of 2,000 starts all have their own identity with the first packet', async () => {
  assert.is(await storm(mailPort, imagePort), 2 * ROUNDS);
});

test('nobody is taken for the other, and nobody else for either', async () => {
  assert.is(await storm(imagePort, mailPort, CROSSED), 0);
  const stranger = [join(folder, 'hello'), String(mailPort), '--queue=mail2'];
  const { code } = await run(stranger, { cgroup: postern.makeCgroup('storm') });
  assert.is(code, 1);
});

test('the same with the agent killed', async () => {
  await postern.stop('SIGKILL');
  assert.is(await storm(mailPort, imagePort), 2 * ROUNDS);
  assert.is(await storm(imagePort, mailPort, CROSSED), 0);
  await postern.start();
});

test.run();
