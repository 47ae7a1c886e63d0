/** A workload that is started by hand, outside of its unit: known by what it looked like in there, also after a restart. */
import type { ChildProcess } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from './instance.ts';
import { start } from './run-in.ts';
import { told, until } from './wait.ts';

const test = suite('drift');
const folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
const script = join(folder, 'daemon.sh');
const running: ChildProcess[] = [];
let postern: Instance;

test.before(
  told(async () => {
    writeFileSync(script, '#!/bin/sh\nread line\n');
    chmodSync(script, 0o755);
    postern = await startInstance();
  }),
);
test.after(async () => {
  for (const child of running) child.kill('SIGKILL');
  await postern?.destroy();
  rmSync(folder, { recursive: true });
});

function launch(cgroup: string): ChildProcess {
  const child = start([script, '--name=legacy'], { cgroup: postern.makeCgroup(cgroup) });
  running.push(child);
  return child;
}

const status = async () => (await postern.api('GET', '/v1/workloads/erp/legacy')).body.status;

test('a daemon restarted by hand has lost its name, and that is said with the clause that would give it back', async () => {
  const match = [{ systemdUnit: 'legacy.service' }];
  await postern.workload('erp/legacy', { labels: { app: 'legacy' }, match });
  const inUnit = launch('legacy.service');
  await until('it is an endpoint', async () => (await status()).endpoints === 1);
  assert.equal([(await status()).drifted, (await status()).drifts], [0, undefined]);
  inUnit.kill('SIGKILL');
  await postern.stop();
  await postern.start();
  const byHand = launch('user.slice/session-3.scope');
  await until('it has drifted', async () => (await status()).drifted === 1);
  const { drifts, hint, endpoints } = await status();
  assert.is(endpoints, 0);
  const [{ clause, command, named, process, expected }] = drifts;
  assert.equal([named, process.pid, expected], [false, byHand.pid, ['legacy.service']]);
  assert.match(
    hint,
    /session-3\.scope, outside of legacy\.service, and has no name there: restart it where it belongs, or add /,
  );
  assert.match(command, /^postern workload get erp\/legacy -o json \| jq /);
  const isIt = (flow: { source: { process: { pid: number } } }): boolean => flow.source.process.pid === byHand.pid;
  assert.match(
    (await postern.flow('event=drift', isIt)).detail,
    /^runs in .*, outside of legacy\.service; not named there/,
  );
  const { body } = await postern.api('GET', '/v1/flows?event=drift&limit=10');
  assert.is(body.items.filter(isIt).length, 1, 'said once');
  const metrics = String((await postern.api('GET', '/metrics')).body);
  assert.match(metrics, /^postern_workload_drifted\{workload="erp\/legacy",named="false"\} 1$/m);
  await postern.workload('erp/legacy', { labels: { app: 'legacy' }, match: [...match, clause] });
  await until('with that clause it has its name', async () => (await status()).endpoints === 1);
  const covered = await status();
  assert.equal([covered.drifted, covered.drifts[0].named], [1, true]);
});

test.run();
