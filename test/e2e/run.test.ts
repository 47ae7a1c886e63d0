/** `postern run` and `postern workload adopt`: a name given by hand, ahead of every match. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { askTcp } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { app, cnp, port } from './policies.ts';
import { type Finished, run, serve, start } from './run-in.ts';
import { freePort, told, until } from './wait.ts';

const test = suite('run and adopt');
const POSTERN = join(import.meta.dirname, '../../postern');
const SLEEP = ['sleep', '1000'];
const folder = mkdtempSync(join(tmpdir(), 'postern-run-'));
const running: ChildProcess[] = [];
let postern: Instance;
let echoPort: number;

/** As typed; the environment says which agent. */
const words = (...argv: string[]): string[] => ['env', `POSTERN_RUN_DIR=${postern.runDir}`, POSTERN, ...argv];
const runs = (...command: string[]): Promise<Finished> =>
  run(words('run', '--workload', 'shop/batch', '--', ...command), { limitMs: 20_000 });
const launch = (...command: string[]): ChildProcess => {
  const child = start(words('run', '--workload', 'shop/batch', '--', ...command));
  running.push(child);
  return child;
};

// biome-ignore lint/suspicious/noExplicitAny: an answer's body
async function endpointWith(pid: number, wanted: (endpoint: any) => boolean): Promise<any> {
  // biome-ignore lint/suspicious/noExplicitAny: an answer's body
  let found: any;
  await until(`process ${pid} is in an endpoint ${wanted}`, async () => {
    const { body } = await postern.agent('/v1/endpoints');
    found = body.items.find(({ processes }: { processes: { pid: number }[] }) => processes.some((p) => p.pid === pid));
    return found !== undefined && wanted(found);
  });
  return found;
}

const workloadOf = async (pid: number, workload: string) =>
  (await endpointWith(pid, (endpoint) => endpoint.workload === workload)).workload;

const isGone = (dir: string) => until(`${dir} is gone`, () => !existsSync(dir));

test.before(
  told(async () => {
    postern = await startInstance();
    echoPort = await freePort();
    await postern.workload('shop/batch', { labels: { app: 'batch' }, match: { systemdUnit: 'batch.service' } });
    await postern.workload('shop/sleeper', {
      labels: { app: 'sleeper' },
      match: { process: { exe: '/usr/bin/sleep', user: '0' } },
    });
    await postern.workload('shop/echo', { labels: { app: 'echo' }, match: { systemdUnit: 'echo.service' } });
    await postern.apply(cnp('echo', { ingress: [{ fromEndpoints: [app('batch')], toPorts: [port(echoPort)] }] }));
    const echo = join(import.meta.dirname, 'echo.mjs');
    const cgroup = postern.makeCgroup('echo.service');
    running.push(await serve([process.execPath, echo, `tcp:${echoPort}`], /ready/, { cgroup }));
  }),
);
test.after(async () => {
  for (const child of running) child.kill('SIGKILL');
  await postern?.destroy();
  rmSync(folder, { recursive: true });
});

test('pid, exit code, streams, folder, environment and arguments are those of the command alone', async () => {
  const child = spawn(
    POSTERN,
    [
      'run',
      '--workload',
      'shop/batch',
      '--',
      'sh',
      '-c',
      'cat; echo "$$ $PWD $FRUIT [$1]" >&2; env >&2; exit 7',
      'sh',
      'a  b',
    ],
    { cwd: folder, env: { PATH: process.env.PATH!, FRUIT: 'fig', POSTERN_RUN_DIR: postern.runDir }, stdio: 'pipe' },
  );
  child.stdin.end('through stdin');
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  assert.equal([code, stdout], [7, 'through stdin']);
  const [first, ...environment] = stderr.trimEnd().split('\n');
  assert.is(first, `${child.pid} ${folder} fig [a  b]`);
  assert.equal(
    environment
      .map((line) => line.split('=')[0])
      .filter((name) => !['PWD', 'OLDPWD', 'SHLVL', '_'].includes(name!))
      .sort(),
    ['FRUIT', 'PATH', 'POSTERN_RUN_DIR'],
  );
});

test('ignored signals and open descriptors are kept, and none is added', async () => {
  const read = 'trap \'\' HUP; exec 7</etc/hostname; exec "$@"';
  const show = ['sh', '-c', 'grep SigIgn /proc/self/status; ls /proc/$$/fd'];
  const [bare, under] = await Promise.all([
    run(['sh', '-c', read, 'sh', ...show]),
    run(['sh', '-c', read, 'sh', ...words('run', '--workload', 'shop/batch', '--', ...show)], { limitMs: 20_000 }),
  ]);
  assert.match(bare.stdout, /SigIgn:\t0+1\n(.*\n)*7\n/);
  assert.is(under.stdout, bare.stdout);
});

test('its first packet is the workload’s, and it has a cgroup of its own', async () => {
  assert.is(await askTcp('127.0.0.1', echoPort, { cgroup: postern.makeCgroup('stranger.service') }), 'EPERM');
  const { stdout, stderr } = await runs(
    'bash',
    '-c',
    `sed -n 's/^0:://p' /proc/self/cgroup; exec 3<>/dev/tcp/127.0.0.1/${echoPort} && echo hello >&3 && head -n 1 <&3`,
  );
  assert.match(
    stdout,
    new RegExp(`^/${postern.cgroupPath}/postern.slice/postern-run-shop-batch-\\w+.scope\nhello\n$`),
    stderr,
  );
});

test('it beats what match would say, goes to its children, and says so', async () => {
  const child = launch('sh', '-c', 'sleep 1000 & wait');
  const endpoint = await endpointWith(child.pid!, ({ processes }) => processes.length === 2);
  assert.equal(
    [endpoint.workload, endpoint.state, endpoint.why.origin, endpoint.why.grade],
    ['shop/batch', 'ok', 'run', 'firstPacket'],
  );
  assert.is('clause' in endpoint.why, false);
  const other = launch(...SLEEP);
  const isSleep = ({ exe }: { exe: string }): boolean => exe.endsWith('/sleep'); // no longer the command that starts it
  const { why, id, workload } = await endpointWith(other.pid!, ({ processes }) => processes.some(isSleep));
  assert.is(workload, 'shop/batch');
  assert.equal(why.beats, [{ workload: 'shop/sleeper', by: 'run' }]);
  assert.match(id, /^host-a\/\d+$/);
});

test('it survives the agent, follows the labels, and ends with its workload', async () => {
  const child = launch('sh', '-c', 'while :; do sleep 1000; done');
  const before = await endpointWith(child.pid!, ({ processes }) => processes.length === 2);
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    await postern.stop(signal);
    await postern.start();
    const after = await endpointWith(child.pid!, () => true);
    assert.equal([after.workload, after.id, after.why.origin], ['shop/batch', before.id, 'run']);
  }
  await postern.workload('shop/batch', {
    labels: { app: 'batch', tier: 'night' },
    match: { systemdUnit: 'batch.service' },
  });
  const relabelled = await endpointWith(child.pid!, ({ identity }) => identity !== before.identity);
  assert.ok(relabelled.labels.includes('user:tier=night'));
  assert.is((await postern.api('DELETE', '/v1/workloads/shop/batch')).status, 204);
  const sleeping = before.processes.map(({ pid }: { pid: number }) => pid).find((pid: number) => pid !== child.pid);
  assert.is(await workloadOf(sleeping, 'shop/sleeper'), 'shop/sleeper');
  await postern.workload('shop/batch', { labels: { app: 'batch' }, match: { systemdUnit: 'batch.service' } });
});

test('when the last process has ended, the cgroup goes and nothing is remembered', async () => {
  const child = launch(...SLEEP);
  const { cgroup } = await endpointWith(child.pid!, ({ workload }) => workload === 'shop/batch');
  const { body } = await postern.agent('/v1/runs');
  const own = body.items.find(({ pid }: { pid: number }) => pid === child.pid);
  assert.equal([own.workload, own.kind, own.by, `/${own.cgroup}`], ['shop/batch', 'run', 'uid:0', cgroup]);
  child.kill('SIGKILL');
  await isGone(join(postern.cgroupDir, cgroup.slice(postern.cgroupPath.length + 1)));
  const after = await postern.agent('/v1/runs');
  assert.is(
    after.body.items.some(({ pid }: { pid: number }) => pid === child.pid),
    false,
  );
});

test('--user changes the user with its groups, and nothing else', async () => {
  const { stdout } = await run(
    words('run', '--workload', 'shop/batch', '--user', 'nobody', '--', 'sh', '-c', 'id -un; id -gn; echo $HOME'),
    { limitMs: 20_000 },
  );
  assert.is(stdout, `nobody\nnogroup\n${process.env.HOME ?? ''}\n`);
});

test('what is wrong is said, with the exit code for it', async () => {
  const notFound = await runs('/no/such/command');
  assert.is(notFound.code, 127);
  const unknown = await run(words('run', '--workload', 'shop/nobody', '--', 'true'), { limitMs: 20_000 });
  assert.equal([unknown.code, unknown.stdout], [2, '']);
  assert.match(unknown.stderr, /There is no workload shop\/nobody on this host/);
  const bare = await run(words('run', '--workload', 'shop/batch', 'true'), { limitMs: 20_000 });
  assert.is(bare.code, 2);
  assert.match(bare.stderr, /needs -- before the command/);
  const helped = await run(words('run', '--help', '--', 'true'), { limitMs: 20_000 });
  assert.equal([helped.code, /^Usage: postern run COMMAND/.test(helped.stdout)], [0, true], helped.stdout);
});

test('another user may not, unless runBy names him, and may read nothing', async () => {
  const refused = await run(words('run', '--workload', 'shop/batch', '--', 'true'), { uid: 65534, limitMs: 20_000 });
  assert.is(refused.code, 4, refused.stderr);
  assert.match(
    refused.stderr,
    /nobody \(uid 65534\) may not run anything under shop\/batch: root may, and who is in its runBy/,
  );
  await postern.workload('shop/nightly', {
    labels: { app: 'nightly' },
    match: { systemdUnit: 'nightly.service' },
    runBy: ['nobody'],
  });
  const named = await run(words('run', '--workload', 'shop/nightly', '--', 'id', '-un'), {
    uid: 65534,
    limitMs: 20_000,
  });
  assert.equal([named.code, named.stdout], [0, 'nobody\n'], named.stderr);
  const read = await run(words('agent', 'endpoints'), { uid: 65534, limitMs: 20_000 });
  assert.is(read.code, 4, read.stderr);
});

test('a workload does not get out of its label by running under another one', async () => {
  const cgroup = postern.makeCgroup('echo.service');
  const { code, stderr } = await run(words('run', '--workload', 'shop/batch', '--', 'true'), {
    cgroup,
    limitMs: 20_000,
  });
  assert.is(code, 4, stderr);
  assert.match(stderr, /The caller is workload shop\/echo, and would get out of its label/);
});

test('an adopted tree is the workload, with its sockets, until it exits', async () => {
  const port = await freePort();
  const cgroup = postern.makeCgroup('session-3.scope');
  const echo = join(import.meta.dirname, 'echo.mjs');
  const server = await serve(
    ['sh', '-c', 'sleep 1000 & "$@"; exit', 'sh', process.execPath, echo, `tcp:${port}`],
    /ready/,
    { cgroup },
  );
  running.push(server);
  assert.is(await askTcp('127.0.0.1', port, { cgroup: postern.makeCgroup('stranger.service') }), 'echo');
  const { code, stdout, stderr } = await run(
    words('workload', 'adopt', 'shop/echo', '--pid', String(server.pid), '--tree'),
    { limitMs: 20_000 },
  );
  assert.is(code, 0, stderr);
  assert.match(stdout, /^3 processes \(\d+, \d+, \d+\) are shop\/echo, identity \d+, until they exit\n/);
  assert.match(stdout, /\nno longer shop\/sleeper\n/);
  assert.match(stdout, /\nto name it at every start, add this clause to match: exe=\S+ user=root/);
  const endpoint = await endpointWith(server.pid!, ({ workload }) => workload === 'shop/echo');
  assert.equal([endpoint.processes.length, endpoint.why.origin, endpoint.listening[0].port], [3, 'run', port]);
  assert.is(await askTcp('127.0.0.1', port, { cgroup: postern.makeCgroup('stranger.service') }), 'EPERM');
  const children = readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8').trim().split(' ');
  for (const pid of [String(server.pid), ...children]) process.kill(Number(pid), 'SIGKILL');
  await until('the pin is forgotten', async () => {
    const { body } = await postern.agent('/v1/runs');
    return body.items.every(({ kind }: { kind: string }) => kind !== 'adopt');
  });
});

test('what cannot be adopted is refused', async () => {
  const none = await run(words('workload', 'adopt', 'shop/echo', '--pid', '4194300'), { limitMs: 20_000 });
  assert.equal([none.code, /There is no process 4194300/.test(none.stderr)], [2, true], none.stderr);
  const init = await run(words('workload', 'adopt', 'shop/echo', '--pid', '1'), { limitMs: 20_000 });
  assert.equal([init.code, /Process 1 is the init of this host/.test(init.stderr)], [2, true], init.stderr);
  const word = await run(words('workload', 'adopt', 'shop/echo', '--pid', 'nginx'), { limitMs: 20_000 });
  assert.is(word.code, 2);
});

test.run();
