/** Rule 14: rights that are stronger than policy are found on real processes, told by agent, server and command line. */
import type { ChildProcess } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Finding } from '../../src/api/findings.ts';
import { type Instance, startInstance } from './instance.ts';
import { type Finished, run, start } from './run-in.ts';
import { told, until } from './wait.ts';

const test = suite('findings');
const POSTERN = join(import.meta.dirname, '../../postern');
const SLEEP = ['/bin/sleep', '1000'];
/** Of this run: an agent also names units that lie outside of its cgroup root. */
const unitOf = (name: string): string => `${name}-${process.pid}.service`;
/** No capability can come, from nowhere. */
const BARE = ['--no-new-privs', '--bounding-set=-all'];
const folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
const running: ChildProcess[] = [];
let postern: Instance;

test.before(
  told(async () => {
    chmodSync(folder, 0o755);
    postern = await startInstance();
  }),
);
test.after(async () => {
  await stopAll();
  await postern?.destroy();
  rmSync(folder, { recursive: true });
});
test.after.each(stopAll);

async function stopAll(): Promise<void> {
  for (const child of running.splice(0)) {
    child.kill('SIGKILL');
    await until(`process ${child.pid} has ended`, () => child.exitCode !== null || child.signalCode !== null);
  }
}

/** A workload by its unit, and a process in it, which has become `exe`. */
async function service(name: string, argv: readonly string[], exe = 'sleep'): Promise<number> {
  await postern.workload(`shop/${name}`, { labels: { app: name }, match: { systemdUnit: unitOf(name) } });
  const child = start(argv, { cgroup: postern.makeCgroup(unitOf(name)) });
  running.push(child);
  let pid = 0;
  await until(`${name} runs ${exe}`, async () => {
    const { body } = await postern.agent('/v1/endpoints');
    const processes = body.items
      .filter(({ workload }: { workload: string }) => workload === `shop/${name}`)
      .flatMap((endpoint: { processes: { pid: number; exe: string }[] }) => endpoint.processes);
    pid = processes.find((one: { exe: string }) => one.exe.endsWith(`/${exe}`))?.pid ?? 0;
    return pid !== 0;
  });
  return pid;
}

const as = (uid: number, ...flags: string[]): string[] => [
  ...['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', ...flags, '--'],
];

async function look(name: string): Promise<Finding[]> {
  const { body } = await postern.agent('/v1/findings?fresh=true');
  return body.items.filter(({ workload }: Finding) => workload === `shop/${name}`);
}
const brief = (findings: readonly Finding[]) =>
  findings.map(({ kind, severity, subjects }) => [kind, severity, subjects]);
const doctor = (...argv: string[]): Promise<Finished> =>
  run(['env', `POSTERN_RUN_DIR=${postern.runDir}`, POSTERN, ...argv], { limitMs: 20_000 });

test("a process without rights, in nobody else's reach, is no finding", async () => {
  await service('bare', [...as(65_501, ...BARE), ...SLEEP]);
  assert.equal(await look('bare'), []);
});

test('capabilities are found where they count: over this host, held now, with the process and the settings', async () => {
  const caps = ['--inh-caps=+net_raw,+chown', '--ambient-caps=+net_raw,+chown', '--no-new-privs'];
  const pid = await service('raw', [...as(65_502, ...caps), ...SLEEP]);
  const [finding, ...more] = await look('raw');
  assert.equal(more, []);
  assert.equal(brief([finding!]), [['capability', 'medium', ['CAP_NET_RAW']]]);
  assert.is(finding!.id, `host-a/shop/raw/capability/${unitOf('raw')}`);
  assert.equal(finding!.processes, [{ pid, exe: '/usr/bin/sleep', user: '65502' }]);
  assert.is(finding!.fix.dropIn!.path, `/etc/systemd/system/${unitOf('raw')}.d/50-postern.conf`);
  assert.equal(settings(finding!), [
    ...['CapabilityBoundingSet=~CAP_NET_RAW', 'AmbientCapabilities=', 'AmbientCapabilities=CAP_CHOWN'],
    ...['RestrictAddressFamilies=~AF_PACKET AF_XDP AF_VSOCK', 'NoNewPrivileges=yes'],
  ]);
  await service('admin', [...as(0, '--bounding-set=-all,+sys_admin,+bpf', '--no-new-privs'), ...SLEEP]);
  const admin = (await look('admin')).find(({ kind }) => kind === 'capability');
  assert.equal(brief([admin!]), [['capability', 'high', ['CAP_SYS_ADMIN', 'CAP_BPF']]]);
  const capset = '$Config{archname} =~ /x86_64/ ? 126 : 91';
  const drop = `my ($head, $sets) = (pack("LL", 0x20080522, 0), "\\0" x 24); syscall(${capset}, $head, $sets) == 0 or die $!;`;
  await service('dropped', ['/usr/bin/perl', '-MConfig', '-e', `${drop} sleep 1000`], 'perl');
  const dropped = (await look('dropped')).find(({ kind }) => kind === 'capability');
  assert.match(
    dropped!.what,
    /^is root and gets CAP_SYS_ADMIN, CAP_BPF, .* by an exec$/,
    'what root has put down it takes up',
  );
  await service('contained', [...as(65_503, '--no-new-privs'), 'unshare', '--user', '--map-root-user', ...SLEEP]);
  assert.equal(await look('contained'), [], 'in a user namespace of its own it holds all, and nothing here');
});

test('what an exec could give is of little weight, and nothing where no_new_privs is on', async () => {
  await service('sudoer', [...as(65_504), ...SLEEP]);
  const [finding] = await look('sudoer');
  assert.equal([finding!.kind, finding!.severity], ['setUserId', 'low']);
  assert.match(finding!.subjects[0]!, /^\/usr\/bin\/\w+$/);
  await service('locked', [...as(65_505, '--no-new-privs'), ...SLEEP]);
  assert.equal(await look('locked'), []);
});

test('of two workloads with one user each names the other', async () => {
  await service('twin-a', [...as(65_506, ...BARE), ...SLEEP]);
  assert.equal(await look('twin-a'), []);
  await service('twin-b', [...as(65_506, ...BARE), ...SLEEP]);
  assert.equal(brief(await look('twin-a')), [['sharedUser', 'medium', ['shop/twin-b']]]);
  const [finding] = await look('twin-b');
  assert.equal(brief([finding!]), [['sharedUser', 'medium', ['shop/twin-a']]]);
  assert.ok(settings(finding!).includes('User=shop-twin-b'));
  assert.match(finding!.fix.commands![0]!, /^useradd --system .* shop-twin-b$/);
});

test('a socket that starts programs is found by the rights of user and groups, in the mount namespace of the process', async () => {
  const listen = `require('net').createServer().listen('/run/docker.sock', () => process.kill(process.pid, 'SIGKILL'))`;
  const inside = `
mount --make-rprivate / && mount -t tmpfs none /run
"$0" -e "${listen}" || true
chown 0:65530 /run/docker.sock && chmod 0660 /run/docker.sock
exec "$@"`;
  const own = ['unshare', '--mount', 'sh', '-c', inside, process.execPath];
  await service(
    'member',
    [...own, ...as(65_507, ...BARE), ...SLEEP].map((word) => (word === '--clear-groups' ? '--groups=65530' : word)),
  );
  const [finding, ...more] = await look('member');
  assert.equal(
    [brief([finding!]), more],
    [[['helperSocket', 'high', ['/run/docker.sock']]], []],
    'once, by whatever name',
  );
  assert.ok(settings(finding!).includes('InaccessiblePaths=-/run/docker.sock'));
  await service('stranger', [...own, ...as(65_508, ...BARE), ...SLEEP]);
  assert.equal(await look('stranger'), []);
  await service(
    'elsewhere',
    [...as(65_509, ...BARE), ...SLEEP].map((word) => (word === '--clear-groups' ? '--groups=65530' : word)),
  );
  assert.equal(await look('elsewhere'), []);
});

test('an executable that others, or its own user, could replace is found, also by a folder above', async () => {
  const place = (name: string, mode: number, uid = 0): string => {
    const above = join(folder, name);
    mkdirSync(join(above, 'bin'), { recursive: true });
    copyFileSync('/bin/sleep', join(above, 'bin/daemon'));
    chmodSync(join(above, 'bin/daemon'), 0o755);
    chmodSync(above, mode);
    chownSync(above, uid, 0);
    return join(above, 'bin/daemon');
  };
  const found = async (name: string, exe: string, uid: number) => {
    await service(name, [...as(uid, ...BARE), exe, '1000'], 'daemon');
    return (await look(name)).map(({ severity, what }) => [severity, what.replaceAll(folder, '')]);
  };
  assert.equal(await found('kept', place('kept', 0o755), 65_510), []);
  assert.equal(await found('sticky', place('sticky', 0o1777), 65_511), [], 'whose folder below nobody may rename');
  assert.equal(await found('open', place('open', 0o777), 65_512), [
    ['high', '/open/bin/daemon can be replaced by everybody (/open)'],
  ]);
  assert.equal(await found('own', place('own', 0o755, 65_513), 65_513), [
    ['medium', '/own/bin/daemon can be replaced by its own user (/own)'],
  ]);
  assert.equal(await found('others', place('others', 0o755, 65_599), 65_514), [
    ['medium', '/others/bin/daemon can be replaced by user 65599 (/others)'],
  ]);
});

test('a cgroup that belongs to its workload is found', async () => {
  const cgroup = postern.makeCgroup(unitOf('delegated'));
  for (const name of ['', 'cgroup.procs']) chownSync(join(cgroup, name), 65_515, 65_515);
  await service('delegated', [...as(65_515, ...BARE), ...SLEEP]);
  const [finding] = await look('delegated');
  assert.equal(brief([finding!]), [['delegatedCgroup', 'low', [`/${postern.cgroupPath}/${unitOf('delegated')}`]]]);
  assert.ok(settings(finding!).includes('Delegate=no'));
});

test('server, status, metrics and the command line tell what the agent found, and when it is gone', async () => {
  await service('raw', [...as(65_516, '--inh-caps=+net_raw', '--ambient-caps=+net_raw', '--no-new-privs'), ...SLEEP]);
  const shown = await doctor('doctor');
  assert.equal([shown.code, shown.stderr], [1, '']);
  assert.equal(shown.stdout.split('\n').slice(0, 2), [
    'MEDIUM  shop/raw  holds CAP_NET_RAW',
    '  it can read what others send and receive (AF_PACKET)',
  ]);
  assert.match(shown.stdout, /\n1 medium\n$/);
  const listed = () => postern.api('GET', '/v1/findings?workload=shop/raw&severity=medium,high');
  await until('the server has heard', async () => (await listed()).body.items.length === 1);
  const [local] = await look('raw');
  assert.equal((await listed()).body.items, [local]);
  assert.equal((await postern.api('GET', '/v1/hosts/host-a')).body.status.findings, { high: 0, medium: 1, low: 0 });
  assert.match(
    String((await postern.api('GET', '/metrics')).body),
    /^postern_findings\{host="host-a",kind="capability",severity="medium"\} 1$/m,
  );
  assert.match((await doctor('status')).stdout, /^findings {3}1 medium: postern doctor$/m);
  assert.is((await doctor('doctor', '--host', 'host-a')).stdout, shown.stdout);
  const json = JSON.parse((await doctor('doctor', '-o', 'json')).stdout);
  assert.equal([json.ok, json.items], [false, [local]]);
  const dropIn = await doctor('doctor', '--drop-in', unitOf('raw'));
  assert.equal([dropIn.code, dropIn.stdout], [0, local!.fix.dropIn!.content]);
  assert.equal(
    [(await doctor('doctor', '--severity', 'high')).code, (await doctor('doctor', '--drop-in', 'no.service')).code],
    [0, 1],
  );
  await stopAll();
  const after = await doctor('doctor');
  assert.equal([after.code, after.stdout], [0, '']);
  await until('the server has heard that it is gone', async () => (await listed()).body.items.length === 0);
});

test('without an agent the doctor says so, and what to do', async () => {
  const { code, stdout, stderr } = await run(['env', `POSTERN_RUN_DIR=${folder}`, POSTERN, 'doctor'], {
    limitMs: 20_000,
  });
  assert.equal([code, stdout], [3, '']);
  assert.match(stderr, /^error: cannot reach the Postern agent[\s\S]*sudo postern agent[\s\S]*nothing was looked at/);
});

function settings(finding: Finding): string[] {
  const lines = finding.fix.dropIn!.content.trimEnd().split('\n');
  return lines.filter((line) => /^[A-Z]/.test(line));
}

test.run();
