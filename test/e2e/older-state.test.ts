/** The state on disk is older than what the kernel enforces (a crash before it was written): nothing goes back. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { askTcp } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { app, cnp } from './policies.ts';
import { serve } from './run-in.ts';
import { freePort, told, until } from './wait.ts';

const test = suite('older state on disk');
const POSTERN = join(import.meta.dirname, '../../postern');
let postern: Instance;
let echoPort: number;
let alone: ChildProcess | undefined;

const ask = (unit: string) => askTcp('127.0.0.1', echoPort, { cgroup: postern.makeCgroup(unit) });
const file = (name: string) => join(postern.stateDir, name);

/** An agent that reaches no control plane. */
async function startAlone(): Promise<void> {
  rmSync(join(postern.runDir, 'agent.sock'), { force: true });
  const env = {
    ...process.env,
    POSTERN_STATE_DIR: postern.stateDir,
    POSTERN_RUN_DIR: postern.runDir,
    POSTERN_PIN_DIR: postern.pinDir,
    POSTERN_CGROUP_ROOT: postern.cgroupDir,
    POSTERN_HOST_NAME: 'host-a',
    POSTERN_WORKLOADS_DIR: postern.workloadsDir,
    POSTERN_SERVER: 'unix:/nonexistent/server.sock',
  };
  alone = spawn(POSTERN, ['agent'], { env, stdio: 'ignore' });
  await until('the agent answers', async () => {
    if (!existsSync(join(postern.runDir, 'agent.sock'))) return false;
    return (await postern.agent('/v1/status').catch(() => undefined)) !== undefined;
  });
}

async function stopAlone(): Promise<void> {
  if (alone === undefined || alone.exitCode !== null || alone.signalCode !== null) return;
  const over = once(alone, 'exit');
  alone.kill('SIGKILL');
  await over;
}

test.before(
  told(async () => {
    postern = await startInstance({ mode: 'split' });
    echoPort = await freePort();
    for (const name of ['frontend', 'stranger', 'echo'])
      await postern.workload(`shop/${name}`, { labels: { app: name }, match: { systemdUnit: `${name}.service` } });
    await until('the workloads are on disk', () => {
      const text = existsSync(file('agent-state.json')) ? readFileSync(file('agent-state.json'), 'utf8') : '';
      return text.includes('"echo"');
    });
    copyFileSync(file('agent-state.json'), file('older'));
    const echo = join(import.meta.dirname, 'echo.mjs');
    const cgroup = postern.makeCgroup('echo.service');
    await serve([process.execPath, echo, `tcp:${echoPort}`], /ready/, { cgroup });
    await postern.apply(cnp('echo', { ingress: [{ fromEndpoints: [app('frontend')] }] }));
    await postern.stop('SIGKILL');
  }),
);
test.after(async () => {
  await stopAlone();
  await postern?.destroy();
});

test('without a control plane the kernel keeps its newer revision, for old and new processes, and says so', async () => {
  copyFileSync(file('older'), file('agent-state.json'));
  await startAlone();
  assert.equal([await ask('stranger.service'), await ask('frontend.service')], ['EPERM', 'echo']);
  assert.equal([await ask('late/stranger.service'), await ask('late/frontend.service')], ['EPERM', 'echo']);
  const { body } = await postern.agent('/v1/status');
  assert.match(
    body.degraded.join(),
    /the kernel has revision 4, the disk 3: keeping the kernel's until the control plane answers/,
  );
  await stopAlone();
});

test('nor does a lost or unreadable state open anything', async () => {
  for (const text of [undefined, '{']) {
    if (text === undefined) rmSync(file('agent-state.json'));
    else writeFileSync(file('agent-state.json'), text);
    await startAlone();
    assert.equal([await ask('stranger.service'), await ask('frontend.service')], ['EPERM', 'echo']);
    await stopAlone();
  }
});

test('the control plane brings the agent up to date', async () => {
  copyFileSync(file('older'), file('agent-state.json'));
  await postern.start();
  await postern.settled();
  assert.equal([await ask('stranger.service'), await ask('frontend.service')], ['EPERM', 'echo']);
  const { body } = await postern.agent('/v1/status');
  assert.equal([body.degraded, body.appliedRevision], [[], 4]);
  await postern.apply(cnp('echo', { ingress: [{ fromEndpoints: [app('stranger')] }] }));
  assert.equal([await ask('stranger.service'), await ask('frontend.service')], ['echo', 'EPERM']);
});

test.run();
