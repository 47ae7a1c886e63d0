/** What a registration would match, asked of the agents before it is put. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from './instance.ts';
import { run, start } from './run-in.ts';
import { told, until } from './wait.ts';

const test = suite('preview');
const POSTERN = join(import.meta.dirname, '../../postern');
const running: ChildProcess[] = [];
let postern: Instance;
let alpha: ChildProcess;
let beta: ChildProcess;

/** bash stays itself with these arguments. */
const launch = (cgroup: string, ...args: string[]): ChildProcess => {
  const child = start(['bash', '-c', 'read line', 'bash', ...args], { cgroup: postern.makeCgroup(cgroup) });
  running.push(child);
  return child;
};
const preview = (body: object, query = '') => postern.api('POST', `/v1/workloads:preview${query}`, body);
const bash = (...args: string[]) => ({ match: { process: { exe: '/usr/bin/bash', user: '0', args } } });

// biome-ignore lint/suspicious/noExplicitAny: an answer's body
const rowOf = ({ body }: { body: any }, pid: number) =>
  body.hosts[0].processes.find((process: { pid: number }) => process.pid === pid);

test.before(
  told(async () => {
    postern = await startInstance();
    alpha = launch('alpha.service', '--inst=alpha', '--common');
    beta = launch('beta.service', '--inst=beta', '--common');
    await postern.workload('erp/any', { labels: { app: 'any' }, ...bash('--common') });
    await until('the new registration has both', async () => {
      const { body } = await postern.agent('/v1/endpoints');
      return body.items.filter(({ workload }: { workload: string }) => workload === 'erp/any').length === 2;
    });
  }),
);
test.after(async () => {
  for (const child of running) child.kill('SIGKILL');
  await postern?.destroy();
});

test('each process that it would have, where that runs, and the workload that would lose it', async () => {
  const answer = await preview(bash('--inst=alpha', '--common'));
  assert.is(answer.status, 200, JSON.stringify(answer.body));
  const [host] = answer.body.hosts;
  assert.equal([host.host, host.state, host.confidence, host.processes.length], ['host-a', 'answered', 1, 1]);
  const { startedAt, ...row } = rowOf(answer, alpha.pid!);
  assert.equal(row, {
    pid: alpha.pid,
    exe: '/usr/bin/bash',
    user: 'root',
    unit: 'alpha.service',
    cgroup: `/${postern.cgroupPath}/alpha.service`,
    clause: 0,
    grade: 'firstPacket',
    origin: 'exec',
    outcome: 'wins',
    other: 'erp/any',
    by: 'args',
  });
  assert.equal([answer.body.grade, answer.body.spoofable], ['firstPacket', null]);
  assert.equal(
    answer.body.overlaps.map(({ workload }: { workload: string }) => workload),
    ['erp/any'],
  );
  const { body } = await postern.api('GET', '/v1/workloads');
  assert.is(body.items.length, 1);
});

test('what it would match and not get says who keeps it, and by what', async () => {
  const answer = await preview({ match: { cgroup: `${postern.cgroupPath}/beta.service` } });
  const { outcome, other } = rowOf(answer, beta.pid!);
  assert.equal([outcome, other], ['loses', 'erp/any']);
  assert.is(answer.body.hosts[0].confidence, 0);
});

test('a name that exists stands for its registration: what it has is told apart', async () => {
  const answer = await preview({ namespace: 'erp', name: 'any', ...bash('--inst=beta') });
  assert.is(rowOf(answer, beta.pid!).outcome, 'has');
  assert.is(rowOf(answer, alpha.pid!), undefined);
});

test('a clause that cannot match here says why', async () => {
  const { body } = await preview({ match: [{ process: { exe: '/usr/bin/bash', user: 'no-such-user' } }] });
  assert.equal(body.hosts[0].waiting, ['match[0]: user "no-such-user" does not exist on this host']);
});

test('a mistake is named as PUT names it, and a peer without an agent has nothing to look for', async () => {
  const wrong = await preview({ match: { process: { exe: 'nginx' } } });
  assert.equal([wrong.status, wrong.body.errors[0].path], [400, '/match/process/exe']);
  const peer = await preview({ addresses: ['192.0.2.1'] });
  assert.equal([peer.status, peer.body.code], [422, 'not-supported']);
});

test('postern workload preview shows it and exits 1 when nothing would match', async () => {
  const words = (...argv: string[]) =>
    run(['env', `POSTERN_RUN_DIR=${postern.runDir}`, POSTERN, 'workload', 'preview', ...argv], { limitMs: 20_000 });
  const found = await words('--exe', '/usr/bin/bash', '--user', '0', '--arg=--inst=alpha', '--arg=--common');
  assert.is(found.code, 0, found.stderr);
  assert.match(found.stdout, /alpha\.service +0 +exec +firstPacket +becomes it; erp\/any loses it by args\n/);
  assert.match(found.stdout, /host-a: 1 of \d+ processes, confidence 1\.00/);
  const nothing = await words('--systemd-unit', 'none.service', '--host', 'host-a');
  assert.equal([nothing.code, /^nothing that runs would match/.test(nothing.stdout)], [1, true], nothing.stderr);
  const unknown = await words('--systemd-unit', 'none.service', '--host', 'host-z');
  assert.is(unknown.code, 2, unknown.stderr);
});

test.run();
