/** A socket unit that by Service= starts another unit: its listener is that unit's, by name and by rule. */
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from './instance.ts';
import { run, serve } from './run-in.ts';
import { freePort, told } from './wait.ts';

const test = suite('socket units');
const FOLDER = '/usr/local/lib/systemd/system';
let postern: Instance;
let unit: string;
const running: ChildProcess[] = [];

test.before(
  told(async () => {
    postern = await startInstance();
    unit = join(FOLDER, `pt-${postern.name}.socket`);
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(unit, `[Socket]\nListenStream=1\nService=pt-backend.service\n`);
  }),
);
test.after(async () => {
  for (const child of running) child.kill('SIGKILL');
  if (unit !== undefined) rmSync(unit, { force: true });
  await postern?.destroy();
});

for (const [order, registered] of [
  ['after the registration', true],
  ['before the registration', false],
] as const)
  test(`the listener of a socket unit that came ${order} is the service's that it starts, not of its own name's`, async () => {
    const register = async (): Promise<void> => {
      for (const [name, service] of [
        ['backend', 'pt-backend.service'],
        ['own', `pt-${postern.name}.service`],
      ] as const)
        await postern.workload(`shop/${name}`, { labels: { app: name }, match: { systemdUnit: service } });
    };
    for (const name of ['backend', 'own']) await postern.api('DELETE', `/v1/workloads/shop/${name}`);
    if (registered) await register();
    const parent = registered ? 'first' : 'second';
    const cgroup = postern.makeCgroup(`${parent}.slice/pt-${postern.name}.socket`);
    const port = await freePort();
    running.push(
      await serve([process.execPath, join(import.meta.dirname, 'echo.mjs'), `tcp:${port}`], /ready/, { cgroup }),
    );
    if (!registered) await register();
    await postern.settled();
    const ask = `exec 3<>/dev/tcp/127.0.0.1/${port} && echo hello >&3 && head -n 1 <&3`;
    assert.is((await run(['bash', '-c', ask], { cgroup: postern.makeCgroup('client') })).stdout, 'hello\n');
    const flow = await postern.flow(`event=connect&port=${port}`, () => true);
    assert.is(flow.destination.workload, 'shop/backend');
  });

test.run();
