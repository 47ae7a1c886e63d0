// @timeout 120
/** The table of row.ts: all of it registered at once, as on a host that has everything. */
import type { ChildProcess } from 'node:child_process';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from '../instance.ts';
import { createNetns, joinNetns, type Netns } from '../netns.ts';
import { run, serve } from '../run-in.ts';
import { freePort, told, until } from '../wait.ts';
import type { Looks, Row } from './row.ts';
import { HOSTS } from './rows-hosts.ts';
import { SERVICES } from './rows-services.ts';

const ROWS = [...SERVICES, ...HOSTS];
const test = suite('twenty-five legacy workloads');
const folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
const running: ChildProcess[] = [];
/** Below what connections are given, so that none has taken a port by the time its row begins. */
const FIRST_PORT = 24_100;
/** Of `{port}` in a row's `listen`, and of every stand-in that listens. */
const ports = new Map<string, number>();
let postern: Instance;
let hub: ChildProcess;
let hubPort: number;
/** Ends of a veth pair: of this host, and of who has no agent. */
let near: Netns;
let far: Netns;
let farHub: ChildProcess;

/** A script of the row's shape, on the real interpreter. */
const SCRIPT = `#!/usr/bin/perl
use Socket;
socket(S, PF_INET, SOCK_STREAM, 0);
connect(S, sockaddr_in($ENV{STANDIN_PORT}, inet_aton($ENV{STANDIN_IP}))) or die $!;
send(S, 'x', 0);
$| = 1;
print "READY\\n";
sleep;
`;

test.before(
  told(async () => {
    chmodSync(folder, 0o755);
    execFileSync('cc', [
      ...['-O1', '-static', '-Wall', '-Werror', '-D_GNU_SOURCE', '-o', join(folder, 'stand-in')],
      join(import.meta.dirname, 'stand-in.c'),
    ]);
    for (const { number, processes } of ROWS)
      for (const [i, looks] of processes.entries()) {
        for (const path of placed(looks)) place(path);
        if (looks.does.includes('listen')) ports.set(`${number}.${i}`, FIRST_PORT + ports.size);
      }
    process.env['POSTERN_GATEWAYS'] = `jobs:${folder}/usr/local/bin/monit`;
    postern = await startInstance();
    hubPort = await freePort();
    hub = await serve([process.execPath, join(import.meta.dirname, '../echo.mjs'), `tcp:${hubPort}`], /ready/, {
      cgroup: postern.makeCgroup('hub'),
    });
    near = createNetns(`pt-${postern.name}-near`);
    far = createNetns(`pt-${postern.name}-far`);
    const reached = ROWS.flatMap(({ processes }) => processes.flatMap(({ reaches }) => reaches?.[0] ?? []));
    joinNetns(
      near,
      ['192.0.2.1/24'],
      far,
      [...new Set(reached)].map((address) => `${address}/24`),
    );
    farHub = await serve([process.execPath, join(import.meta.dirname, '../echo.mjs'), `tcp:${hubPort}`], /ready/, {
      netns: far.path,
    });
    for (const row of ROWS)
      for (const [name, spec] of [
        ...Object.entries(row.workloads).map(([name, match]) => [name, { match: inFolder(match, row) }] as const),
        ...Object.entries(row.peers ?? {}).map(([name, addresses]) => [name, { addresses }] as const),
      ]) {
        const body = { labels: { app: name }, ...spec };
        const { status, body: answer } = await postern.api('PUT', `/v1/workloads/rows/${name}`, body);
        assert.ok(status < 300, `${name}: ${JSON.stringify(answer)}`);
      }
    await postern.settled();
  }),
);

test.after(async () => {
  for (const child of running) child.kill('SIGKILL');
  hub?.kill('SIGKILL');
  farHub?.kill('SIGKILL');
  await postern?.destroy();
  near?.delete();
  far?.delete();
  rmSync(folder, { recursive: true, force: true });
});

test('every row of the table is here, once', () => {
  assert.equal(
    ROWS.map(({ number }) => number),
    Array.from({ length: 25 }, (_, i) => i + 1),
  );
  for (const { also = [], number } of ROWS)
    for (const path of also) assert.ok(existsSync(join(import.meta.dirname, '../../..', path)), `${number}: ${path}`);
});

for (const row of ROWS)
  for (const [i, looks] of row.processes.entries())
    test(`${row.number} ${row.title}: ${looks.what}`, async () => {
      const child = await launch(row, i, looks);
      if (looks.listens !== undefined) {
        const port = ports.get(`${row.number}.${i}`)!;
        const flow = await asked(port, ({ workload }) => !looks.isLate || workload !== undefined);
        assert.is(flow.destination.workload ?? null, nameOf(looks.listens), 'who listens');
      }
      if (looks.connects !== undefined) {
        const flow = await postern.flow(
          `event=connect&port=${hubPort}`,
          ({ destination }) => destination.ip === address(row, i),
        );
        assert.is(flow.source.workload ?? null, nameOf(looks.connects), 'who connects');
        if (looks.reaches !== undefined)
          assert.is(flow.destination.workload ?? null, nameOf(looks.reaches[1]), 'whom it reaches');
      }
      const named = looks.endpoint ?? looks.connects;
      if (named != null && (looks.state !== undefined || looks.endpoint !== undefined)) {
        const found = await endpointWith(nameOf(named)!, child.pid!);
        if (looks.state !== undefined) assert.is(found.state, looks.state);
      }
    });

test('after another registration, and a restart of the agent, every listener is whose it was', async () => {
  const listeners = ROWS.flatMap((row) =>
    row.processes.flatMap(({ what, listens }, i) =>
      listens === undefined ? [] : [{ what: `${row.number} ${what}`, listens, port: ports.get(`${row.number}.${i}`)! }],
    ),
  );
  const everybody = async (when: string): Promise<void> => {
    for (const { what, listens, port } of listeners)
      assert.is((await asked(port)).destination.workload ?? null, nameOf(listens), `${what}, ${when}`);
  };
  await postern.workload('rows/unrelated', {
    labels: { app: 'unrelated' },
    match: { systemdUnit: 'unrelated.service' },
  });
  await everybody('after a registration');
  await postern.stop('SIGKILL');
  await postern.start();
  await everybody('after a restart');
});

/** A connection to this port, by its flow; again until its destination is as wanted. */
async function asked(
  port: number,
  isWanted: (destination: { workload?: string }) => boolean = () => true,
): Promise<any> {
  // biome-ignore lint/suspicious/noExplicitAny: an answer's body
  let flow: any;
  await until('the listener is who is wanted', async () => {
    const { code, stdout, stderr } = await run(['bash', '-c', `echo $$; exec 3<>/dev/tcp/127.0.0.1/${port}`], client());
    assert.is(code, 0, stderr);
    const pid = Number(stdout);
    flow = await postern.flow(`event=connect&port=${port}&process=${pid}`, ({ source }) => source.process?.pid === pid);
    return isWanted(flow.destination);
  });
  const accepted = await postern.flow(
    `event=accept&port=${port}`,
    ({ source, destination }) => (destination.port === port ? source : destination).port === flow.source.port,
  );
  const { source, destination } = accepted;
  assert.is((destination.port === port ? destination : source).workload, flow.destination.workload, 'what it accepted');
  return flow;
}

const client = () => ({ cgroup: postern.makeCgroup('client') });
const nameOf = (name: string | null): string | null => (name === null ? null : `rows/${name}`);
const address = ({ number, processes }: Row, i: number): string =>
  processes[i]!.reaches?.[0] ?? `127.${number}.${i + 1}.1`;

// biome-ignore lint/suspicious/noExplicitAny: an answer's body
async function endpointWith(workload: string, pid: number): Promise<any> {
  // biome-ignore lint/suspicious/noExplicitAny: an answer's body
  let found: any;
  await until(`an endpoint of ${workload} has process ${pid}`, async () => {
    const { body } = await postern.agent('/v1/endpoints?limit=500');
    found = body.items.find(
      (one: { workload: string; processes: { pid: number }[] }) =>
        one.workload === workload && one.processes.some((process) => process.pid === pid),
    );
    return found !== undefined;
  });
  return found;
}

async function launch(row: Row, i: number, looks: Looks): Promise<ChildProcess> {
  const port = ports.get(`${row.number}.${i}`);
  const does = looks.does
    .split(' ')
    .map((word) => {
      if (word === 'connect') return `connect:${address(row, i)}`;
      if (word === 'listen') return `listen:${port}`;
      return word.startsWith('exec:/') ? `exec:${folder}${word.slice('exec:'.length)}` : word;
    })
    .join(' ');
  const args = (looks.args ?? []).map((arg) => (looks.exe === 'perl' ? arg.replace(/^\//, `${folder}/`) : arg));
  const own = Object.fromEntries((looks.env ?? []).map((variable) => variable.split('=')));
  const env = { ...own, STANDIN: does, STANDIN_PORT: String(hubPort), STANDIN_IP: address(row, i) };
  const exe = looks.exe === 'perl' ? '/usr/bin/perl' : join(folder, looks.exe);
  const words = [exe, ...args];
  if (looks.uid !== undefined) words.unshift('setpriv', `--reuid=${looks.uid}`, '--clear-groups', '--');
  if (looks.reaches !== undefined) words.unshift('nsenter', `--net=${near.path}`, '--');
  const enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"';
  const cgroup = postern.makeCgroup(looks.cgroup);
  const child = spawn('sh', ['-c', enter, cgroup, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  running.push(child);
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
  await until(`${looks.what} is ready`, () => {
    if (child.exitCode !== null) throw new Error(`${looks.what} ended:\n${said}`);
    return said.includes('READY');
  });
  return child;
}

/** Files that the process executes. */
function placed({ exe, args = [], does }: Looks): string[] {
  const executed = [...does.matchAll(/exec:(\/[^ ,]+)/g)].map(([, path]) => path!);
  return exe === 'perl' ? [args[0]!] : [exe, ...executed];
}

function place(path: string): void {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  if (path.endsWith('.pl')) writeFileSync(file, SCRIPT, { mode: 0o755 });
  else if (!existsSync(file)) copyFileSync(join(folder, 'stand-in'), file);
}

/** Paths below the folder, cgroups below the instance's, ports as they are. */
function inFolder(match: unknown, { number }: Row): unknown {
  const text = JSON.stringify(match)
    .replaceAll(/"(exe|script)":"\//g, `"$1":"${folder}/`)
    .replaceAll('{cgroup}', `/${postern.cgroupPath}`)
    .replaceAll('{port}', String(ports.get(`${number}.0`)));
  return JSON.parse(text);
}

test.run();
